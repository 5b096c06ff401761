"""The second factors. Each module has one method; a new one is added to `METHODS`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.methods import recovery_codes, totp
from plinth.accounts.methods.method import Method

MethodName = Literal[
    "password", "email_code", "oidc", "totp", "recovery_code", "passkey", "impersonation"
]
"""A way to authenticate."""
AMR: Mapping[MethodName, str] = {
    "password": "pwd",
    "email_code": "email",
    "oidc": "oidc",
    "totp": "otp",
    "recovery_code": "rec",
    "passkey": "pop",  # without attestation, nothing proves that hardware has the key ("hwk")
    "impersonation": "imp",
}
"""The names of the methods in `Session.amr`, where possible those of RFC 8176.

It has none for a code by mail. "otp" is that of an authenticator app, which is a second factor.
"""
FIRST_FACTORS = frozenset[MethodName]({"password", "email_code", "oidc", "impersonation"})
# Methods of which the user types a code; `services/passkeys` has the other one.
METHODS: Mapping[str, Method] = MappingProxyType(
    {method.name: method for method in (totp.METHOD, recovery_codes.METHOD)}
)


async def find_available(db: AsyncSession, user_id: int) -> list[str]:
    """Return the methods with which the user can prove a second factor; empty without a factor."""
    kinds = await queries.factor.get_confirmed_kinds(db, user_id)
    if kinds and await queries.factor.count_recovery_codes(db, user_id):
        return [*kinds, recovery_codes.METHOD.name]
    return list(kinds)
