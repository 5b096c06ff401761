"""Authenticator apps (RFC 6238)."""

import logging
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import segno
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.methods.method import Method
from plinth.accounts.models import User
from plinth.accounts.queries.factor import Totp
from plinth.config import settings
from plinth.security import encryption
from plinth.security.encryption import Reencrypted
from plinth.security.totp import encode_secret, find_step, make_secret, make_uri

logger = logging.getLogger(__name__)

LOST = "set SECRET_KEY_FALLBACKS to the earlier SECRET_KEY, or run `plinth users reset-mfa`"


@dataclass(frozen=True, slots=True)
class NewTotp:
    """
    Attributes:
        secret: base32, to be typed into an app.
        uri: the `otpauth://` URI.
        qr: the URI as a QR code: an SVG document.
    """

    id: UUID
    secret: str
    uri: str
    qr: str


async def add(db: AsyncSession, user: User, name: str) -> NewTotp:
    """Add an unconfirmed authenticator app. It replaces the user's other unconfirmed one."""
    secret = make_secret()
    factor_id = await queries.factor.add_totp(db, user.id, name, *_encrypt(user.id, secret))
    uri = make_uri(secret, issuer=settings.PROJECT_NAME, account=user.email)
    qr = segno.make(uri, error="m").svg_inline(scale=4, border=4)
    return NewTotp(factor_id, encode_secret(secret), uri, qr)


async def use(db: AsyncSession, user_id: int, code: str) -> bool:
    """Use up a code of a confirmed app."""
    confirmed = await queries.factor.get_totp(db, user_id, confirmed=True)
    return await _use(db, user_id, confirmed, code) is not None


async def use_unconfirmed(db: AsyncSession, user_id: int, code: str) -> UUID | None:
    """Use up a code of the unconfirmed app and return its id."""
    unconfirmed = await queries.factor.get_totp(db, user_id, confirmed=False)
    return await _use(db, user_id, unconfirmed, code)


async def reencrypt(db: AsyncSession, after: UUID, *, limit: int) -> Reencrypted | None:
    """Encrypt a batch of secrets that are under an earlier key with the current one.

    Args:
        after: the last id of the previous batch.

    Returns:
        None after the last batch.
    """
    rows = await queries.factor.lock_outdated_totp(
        db, encryption.current_key_id(), after=after, limit=limit
    )
    lost = 0
    for user_id, row in rows:
        try:
            secret = _decrypt(user_id, row)
        except ValueError:
            lost += 1
        else:
            await queries.factor.replace_secret(db, row.factor_id, *_encrypt(user_id, secret))
    return Reencrypted(len(rows) - lost, lost, rows[-1][1].factor_id) if rows else None


async def _use(db: AsyncSession, user_id: int, rows: Sequence[Totp], code: str) -> UUID | None:
    now = time.time()
    for row in rows:
        try:
            secret = _decrypt(user_id, row)
        except ValueError:
            logger.error("the secret of factor %s cannot be decrypted: %s", row.factor_id, LOST)  # noqa: TRY400
            continue
        step = find_step(secret, code, now=now)
        if step is not None and await queries.factor.use_step(db, row.factor_id, step):
            if row.key_id != encryption.current_key_id():
                await queries.factor.replace_secret(db, row.factor_id, *_encrypt(user_id, secret))
            return row.factor_id
    return None


def _encrypt(user_id: int, secret: bytes) -> tuple[str, bytes]:
    """Return the id of the current key, and the encrypted secret."""
    content = {"secret": b64encode(secret).decode()}
    sealed = encryption.encrypt(content, belongs_to=_purpose(user_id))
    return encryption.current_key_id(), sealed


def _decrypt(user_id: int, row: Totp) -> bytes:
    content = encryption.decrypt(row.sealed, belongs_to=_purpose(user_id))
    return b64decode(content["secret"])


def _purpose(user_id: int) -> str:
    return f"totp {user_id}"


METHOD = Method(queries.factor.TOTP, use)
