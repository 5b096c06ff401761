"""Simulated passing of time for the limits in Redis."""

from redis.asyncio import Redis


async def pass_time(redis: Redis, prefix: str, seconds: float) -> None:
    """Move the recorded attempts under this prefix and their expiry into the past."""
    past = int(seconds * 1000)
    async for key in redis.scan_iter(f"{prefix}-limits:*"):
        if await redis.type(key) == b"zset":
            for attempt in await redis.zrange(key, 0, -1):
                assert isinstance(attempt, bytes)
                await redis.zincrby(key, -past, attempt)
        left = await redis.pttl(key)
        await redis.pexpire(key, max(left - past, 0))
