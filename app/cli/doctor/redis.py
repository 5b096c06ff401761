import asyncio

from redis.exceptions import RedisError

from app.cli.doctor.finding import Finding, broken, doubtful, fine
from app.cli.failure import describe
from app.core.cache.connecting import connect, disconnect

NAME = "Redis"
SECONDS = 3
OLDEST = 7


async def check(url: str) -> Finding:
    try:
        client = connect(url, seconds=SECONDS, connections=1)
    except ValueError as error:
        return broken(NAME, f"REDIS_URL cannot be read ({error})", "Correct it.")
    try:
        async with asyncio.timeout(SECONDS):
            info = await client.info("server")
    except (RedisError, OSError) as error:
        why = str(error) or f"nothing in {SECONDS} s"
        return broken(
            NAME,
            f"{describe(url)} does not answer ({why})",
            "Start it, or correct REDIS_URL. Until then nothing is cached.",
        )
    finally:
        await disconnect(client)
    version = str(info["redis_version"])
    text = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    if int(version.partition(".")[0]) < OLDEST:
        return doubtful(NAME, text, f"Take Redis {OLDEST} or newer, or Valkey.")
    return fine(NAME, f"{text} at {describe(url)}")
