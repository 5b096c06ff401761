import asyncio

from redis.exceptions import RedisError

from plinth.cache.client import HEALTH_SECONDS, ClusterModeError
from plinth.cache.connecting import connect, disconnect
from plinth.cli.doctor import Finding, broken, doubtful, fine
from plinth.cli.failure import describe
from plinth.config import settings
from plinth.db.connection_errors import describe_connection_error

NAME = "Redis"
SECONDS = 3
MIN_VERSION = 7


async def check(url: str) -> Finding:
    client = connect(url, seconds=SECONDS, connections=1)
    try:
        async with asyncio.timeout(SECONDS):
            info = await client.info()
            if info.get("cluster_enabled"):
                raise ClusterModeError
            await client.set(f"{settings.CACHE_PREFIX}-health", b"", ex=HEALTH_SECONDS)
    except (RedisError, OSError) as error:
        text = f"{describe(url)} cannot be used: {describe_connection_error(error)}"
        return broken(
            NAME, text, "Without Redis, nothing is cached, and rate limits count per process."
        )
    finally:
        await disconnect(client)
    version = str(info["redis_version"])
    text = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    if int(version.partition(".")[0]) < MIN_VERSION:
        return doubtful(NAME, text, f"Upgrade to Redis {MIN_VERSION} or newer, or Valkey.")
    return fine(NAME, f"{text} at {describe(url)}")
