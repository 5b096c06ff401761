"""Whether what we stand on answers. Never why not: that is for the log."""

import asyncio
import logging
from typing import Any

from sqlalchemy import text

from app.core.cache import Cache
from app.core.database import Database
from app.core.errors import PlinthError

logger = logging.getLogger(__name__)

PATIENCE = 2  # seconds


async def check_database(database: Database) -> bool:
    try:
        async with asyncio.timeout(PATIENCE), database.reading() as connection:
            await connection.execute(text("SELECT 1"))
    except (PlinthError, TimeoutError) as error:
        logger.warning("the database does not answer: %r", error.__cause__ or error)
        return False
    return True


async def check_cache(cache: Cache) -> dict[str, Any] | None:
    """The server's figures, or None when it does not answer within a cache call's budget."""
    info = await cache.call(lambda redis: redis.info(), None)
    if info is None:
        return None
    return {
        "version": str(info.get("valkey_version") or info["redis_version"]),
        "connected_clients": info["connected_clients"],
        "used_memory_human": info["used_memory_human"],
    }
