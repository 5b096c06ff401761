from typing import Literal

from pydantic import BaseModel

Status = Literal["healthy", "unhealthy"]


class Health(BaseModel):
    status: Status
    version: str
    environment: str


class Alive(BaseModel):
    status: Literal["alive"]


class Ready(BaseModel):
    """Send requests while the status is `ready` or `degraded`, not `unavailable` or `draining`.

    The database is `behind` if migrations of this version have not run.
    """

    status: Literal["ready", "degraded", "unavailable", "draining"]
    database: Status | Literal["behind"] | None = None
    cache: Status | None = None


class PoolFigures(BaseModel):
    """Database connections."""

    size: int
    checked_out: int
    checked_in: int
    overflow: int


class DatabaseHealth(BaseModel):
    """`pool` is only for superusers."""

    status: Status
    database: str
    connection: Literal["ok", "failed"]
    pool: PoolFigures | None = None


class CacheHealth(BaseModel):
    """Version, clients and memory are only for superusers."""

    status: Status
    cache: str
    version: str | None = None
    connected_clients: int | None = None
    used_memory_human: str | None = None


class Services(BaseModel):
    api: Status
    database: Status
    cache: Status


class FullHealth(BaseModel):
    status: Literal["healthy", "degraded"]
    services: Services
    version: str
    environment: str


class Welcome(BaseModel):
    message: str
    version: str
    docs: str | None
    redoc: str | None
    health: str
