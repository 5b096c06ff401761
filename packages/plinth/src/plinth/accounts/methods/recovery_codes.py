"""Recovery codes, each of which replaces a second factor once."""

import hashlib
import secrets
from base64 import b32encode

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.methods.method import Method

CODES = 10
BYTES = 15  # 120 bits: 24 letters and digits, without padding
GROUP = 4


async def replace(db: AsyncSession, user_id: int) -> list[str]:
    """Replace the codes of a user and return the new ones, such as "ABCD-EFGH-2345-..."."""
    codes = [_make_code() for _ in range(CODES)]
    await queries.factor.replace_recovery_codes(db, user_id, [_hash(it) for it in codes])
    return codes


async def use(db: AsyncSession, user_id: int, code: str) -> bool:
    """Use up a code. Case, spaces and hyphens do not matter."""
    return await queries.factor.use_recovery_code(db, user_id, _hash(code))


def _make_code() -> str:
    text = b32encode(secrets.token_bytes(BYTES)).decode()
    return "-".join(text[start : start + GROUP] for start in range(0, len(text), GROUP))


def _hash(code: str) -> bytes:
    # 120 random bits cannot be guessed, so a fast hash is enough. Independent of SECRET_KEY.
    normal = code.upper().replace("-", "").replace(" ", "")
    return hashlib.sha256(normal.encode(errors="surrogatepass")).digest()


METHOD = Method("recovery_code", use)
