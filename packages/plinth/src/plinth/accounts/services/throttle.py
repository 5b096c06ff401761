"""The limits, each with what it counts. They are asked before the work that they guard."""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from plinth.config import settings
from plinth.limits import Bucket, Reservation
from plinth.limits.sign_in import per_network, reserve, reserve_sign_in
from plinth.rates import parse_rate
from plinth.request.client import Client
from plinth.security.addresses import canonical
from plinth.security.devices import Account


class KnownDevice(NamedTuple):
    """
    Attributes:
        device: its id (`security/devices.py`).
        account: the one that signed in on it.
    """

    device: str
    account: Account


async def limit_sign_in(email: str, client: Client, known: KnownDevice | None) -> Reservation:
    """Reserve an attempt; refund it when it succeeds.

    A device on which the account signed in before counts for itself: a stranger's attempts cannot
    lock it out, neither from elsewhere nor from behind the same address. However many devices an
    account has, together they have a limit as well. These counts begin anew with each change of
    the account's credentials, so that an owner who resets the password is not locked out.

    Args:
        email: as it was typed, whether an account has it or not.
        known: where the request came from such a device.

    Raises:
        TooMany
    """
    if known:
        device, user = known.device, known.account.key
        return await reserve(
            Bucket.of("login-device", settings.LIMIT_LOGIN_DEVICE, device, user),
            Bucket.of("login-device-day", settings.LIMIT_LOGIN_DEVICE_DAY, device, user),
            Bucket.of("login-all-devices", settings.LIMIT_LOGIN_ALL_DEVICES, user),
        )
    return await reserve_sign_in(email, client)


async def limit_registration(client: Client) -> None:
    """
    Raises:
        TooMany
    """
    await reserve(*per_network("register-ip", settings.LIMIT_REGISTER_IP, client))


def refresh_window() -> timedelta:
    """For how long a session's refreshes are counted. Longer after its last use it has none in its
    bucket, and nobody need ask."""
    if not settings.LIMITS_ENABLED:
        return timedelta()
    return timedelta(seconds=parse_rate(settings.LIMIT_REFRESH_SESSION).seconds)


async def limit_refresh(session_id: UUID) -> None:
    """
    Args:
        session_id: of a token that we made. It is no secret, and nobody may fill the bucket by
            another.

    Raises:
        TooMany
    """
    await reserve(
        Bucket.of("refresh-session", settings.LIMIT_REFRESH_SESSION, str(session_id)),
    )


async def limit_unknown_refresh(client: Client) -> Reservation:
    """For a refresh token without a mark of ours, which is made up, or older than the present
    `SECRET_KEY`; refund it when it was good. By address alone: anyone can make any number of
    them, and each would have a bucket of its own.

    Raises:
        TooMany
    """
    return await reserve(
        *per_network("refresh-unknown-ip", settings.LIMIT_REFRESH_UNKNOWN_IP, client)
    )


async def limit_forgot_password(email: str, client: Client, known: KnownDevice | None) -> None:
    """For a mail that anyone can have sent to an address by typing it.

    Raises:
        TooMany
    """
    account = canonical(email)
    if known is None:
        await reserve(
            Bucket.of("forgot-account", settings.LIMIT_FORGOT_ACCOUNT, account),
            *per_network("forgot-ip", settings.LIMIT_FORGOT_IP, client),
        )
    else:
        await reserve(
            Bucket.of("forgot-device", settings.LIMIT_FORGOT_ACCOUNT, known.device, account)
        )


async def limit_mail(kind: str, recipient: str, *, is_reset: bool) -> None:
    """For a mail that is about to be sent, whoever caused it. Each kind is counted apart, so that
    many of one kind do not suppress another, such as the notice that the password was changed.

    Args:
        is_reset: it may be asked for by anyone, so that a limit over a day would lock the owner out
            for the day.

    Raises:
        TooMany
    """
    parts = kind, canonical(recipient)
    buckets = [Bucket.of("mail-address", settings.LIMIT_MAIL_ADDRESS, *parts)]
    if not is_reset:
        buckets += [Bucket.of("mail-address-day", settings.LIMIT_MAIL_ADDRESS_DAY, *parts)]
    await reserve(*buckets)


async def limit_verification(user_id: int) -> None:
    """For a mail to an address that nobody proved to be theirs.

    Raises:
        TooMany
    """
    await reserve(Bucket.of("verify-account", settings.LIMIT_VERIFY_ACCOUNT, str(user_id)))


async def limit_password_check(account: Account, session_id: UUID) -> Reservation:
    """For the current password, asked again of one who is signed in; refund it when it is right.

    The account's count begins anew with each change of its credentials: a stolen session cannot
    keep an owner who resets the password from the next change.

    Raises:
        TooMany
    """
    return await reserve(
        Bucket.of("password-session", settings.LIMIT_PASSWORD_SESSION, str(session_id)),
        Bucket.of("password-account", settings.LIMIT_PASSWORD_ACCOUNT, account.key),
    )
