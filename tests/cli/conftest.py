import pytest

from tests.support.databases import TestServices


@pytest.fixture
def environment(services: TestServices, database_url: str, worker_id: str) -> dict[str, str]:
    """The settings of a command that works on this worker's database, beside the application."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": services.redis_url,
        "CACHE_PREFIX": f"test-{services.run}-{worker_id}",
        "SECRET_KEY": "zV4nQ8sKe1Wm7Tb2XcY9Lr5Hd0Jf3GpAu6iBoN-wRyM",
        "ARGON2_MEMORY_KIB": "8",
        "ARGON2_TIME_COST": "1",
        "CACHE_TIMEOUT_MS": "5000",  # a process that has just started on a busy machine
    }
