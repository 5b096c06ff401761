"""The services that the application uses: those in the settings, otherwise embedded ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from plinth import devservices as embedded
from plinth.config import Settings


@dataclass(frozen=True, slots=True)
class ServiceUrls:
    """
    Attributes:
        owner_url: for the role that owns the tables, never through PgBouncer; the role of
            `database_url` if the settings have no other.
    """

    database_url: str
    redis_url: str
    owner_url: str

    def as_environment(self) -> dict[str, str]:
        """Return the settings for child processes, so that they start no servers."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}


@contextmanager
def running_services(settings: Settings) -> Iterator[ServiceUrls]:
    """Start the services that the settings omit, and yield the URLs of all.

    The servers are shared with other processes; the last one stops them.

    Raises:
        EmbeddedError: an embedded service could not be started.
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
