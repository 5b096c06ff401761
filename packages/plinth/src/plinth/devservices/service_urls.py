"""The services that the application stands on: those that the settings name, else embedded ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from plinth import devservices as embedded
from plinth.config import Settings


@dataclass(frozen=True, slots=True)
class ServiceUrls:
    """
    Attributes:
        owner_url: the database as the role that owns the tables, never through PgBouncer; the
            role of `database_url` where the settings name no other.
    """

    database_url: str
    redis_url: str
    owner_url: str

    def as_environment(self) -> dict[str, str]:
        """For processes of ours, which then start no servers of their own."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}


@contextmanager
def running_services(settings: Settings) -> Iterator[ServiceUrls]:
    """The URLs to use. What the settings leave out is started, shared with other processes, and
    stopped by the last one to leave.

    Raises:
        EmbeddedError: an embedded service could not be started, in one sentence.
    """
    with embedded.services(
        settings.DATA_DIR,
        postgres=settings.DATABASE_URL is None,
        valkey=settings.REDIS_URL is None,
    ) as endpoints:
        database_url = settings.DATABASE_URL or endpoints.database_url
        redis_url = settings.REDIS_URL or endpoints.redis_url
        assert database_url
        assert redis_url
        owner_url = (
            settings.MIGRATION_DATABASE_URL
            or settings.DIRECT_DATABASE_URL
            or endpoints.owner_url
            or database_url
        )
        yield ServiceUrls(database_url, redis_url, owner_url)
