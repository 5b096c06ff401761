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
    """`degraded` and `ready` take requests; `unavailable` and `draining` want none.

    A database is `behind` when migrations of this version have not run.
    """

    status: Literal["ready", "degraded", "unavailable", "draining"]
    database: Status | Literal["behind"] | None = None
    cache: Status | None = None


class PoolFigures(BaseModel):
    """Connections."""

    size: int
    checked_out: int
    checked_in: int
    overflow: int


class DatabaseHealth(BaseModel):
    """`pool` is for superusers."""

    status: Status
    database: str
    connection: Literal["ok", "failed"]
    pool: PoolFigures | None = None


class CacheHealth(BaseModel):
    """The server's figures are for superusers."""

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
