"""Rate limits for accounts. Each is checked before the work that it protects."""

from datetime import timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from plinth.config import settings
from plinth.errors import RateLimited
from plinth.limits import Bucket, Reservation
from plinth.limits.sign_in import per_network, reserve, reserve_sign_in
from plinth.rates import parse_rate
from plinth.request.client import Client
from plinth.security.addresses import canonical
from plinth.security.devices import Account

MailRequest = Literal["forgot", "code"]
"""A password reset, or a code to sign in. Each has its own buckets."""
ProviderStep = Literal["start", "callback", "token"]


class KnownDevice(NamedTuple):
    """
    Attributes:
        device: the id of the device (`security/devices.py`).
        account: the account that signed in on it.
    """

    device: str
    account: Account


async def limit_sign_in(email: str, client: Client, known: KnownDevice | None) -> Reservation:
    """Reserve a sign-in attempt. The caller refunds it if the sign-in succeeds.

    A device on which the account signed in before has its own buckets, so attempts by others, even
    from the same IP address, cannot lock it out. All known devices of an account share one more
    bucket. A change of the credentials starts new buckets, so an owner who resets the password is
    not locked out.

    Args:
        email: the e-mail as typed; it need not belong to an account.
        known: the known device that sent the request, if any.

    Raises:
        RateLimited
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
    """Count a registration for the client's network.

    Raises:
        RateLimited
    """
    await reserve(*per_network("register-ip", settings.LIMIT_REGISTER_IP, client))


async def limit_provider(step: ProviderStep, client: Client) -> None:
    """Count a step of a sign-in by an identity provider for the client's network.

    Raises:
        RateLimited
    """
    await reserve(*per_network(f"oidc-{step}-ip", settings.LIMIT_OIDC_IP, client))


def refresh_window() -> timedelta:
    """Return the window of the refresh limit.

    The bucket of a session that was last used before the window is full, so it need not be checked.
    """
    if not settings.LIMITS_ENABLED:
        return timedelta()
    return timedelta(seconds=parse_rate(settings.LIMIT_REFRESH_SESSION).seconds)


async def limit_refresh(session_id: UUID) -> None:
    """Count a refresh for the session.

    Args:
        session_id: from a token with a valid signature. The id is not secret, so an unsigned one
            would let anyone use up the session's limit.

    Raises:
        RateLimited
    """
    await reserve(
        Bucket.of("refresh-session", settings.LIMIT_REFRESH_SESSION, str(session_id)),
    )


async def limit_unknown_refresh(client: Client) -> Reservation:
    """Reserve an attempt with a refresh token that has no valid signature. The caller refunds it if
    the token is valid, for example from before a change of `SECRET_KEY`.

    Counted by IP address only: a bucket for each token would not limit invented tokens.

    Raises:
        RateLimited
    """
    return await reserve(
        *per_network("refresh-unknown-ip", settings.LIMIT_REFRESH_UNKNOWN_IP, client)
    )


async def limit_mail_request(
    kind: MailRequest, email: str, client: Client, known: KnownDevice | None
) -> None:
    """Count a request for a mail to sign in, which anyone can make for any address.

    Raises:
        RateLimited
    """
    account = canonical(email)
    if known is None:
        await reserve(
            Bucket.of(f"{kind}-account", settings.LIMIT_FORGOT_ACCOUNT, account),
            *per_network(f"{kind}-ip", settings.LIMIT_FORGOT_IP, client),
        )
    else:
        await reserve(
            Bucket.of(f"{kind}-device", settings.LIMIT_FORGOT_ACCOUNT, known.device, account)
        )


async def limit_mail(kind: str, recipient: str, *, is_requested: bool) -> None:
    """Count a mail to an address, just before it is sent.

    Each kind has its own buckets, so a flood of one kind does not suppress another, such as the
    notice that the password was changed.

    Args:
        is_requested: a link or code to sign in. Anyone can request one, so a daily limit would let
            a stranger lock the owner out for a day.

    Raises:
        RateLimited
    """
    parts = kind, canonical(recipient)
    buckets = [Bucket.of("mail-address", settings.LIMIT_MAIL_ADDRESS, *parts)]
    if not is_requested:
        buckets += [Bucket.of("mail-address-day", settings.LIMIT_MAIL_ADDRESS_DAY, *parts)]
    await reserve(*buckets)


async def limit_verification(user_id: int) -> None:
    """Count a mail to an address that is not verified.

    Raises:
        RateLimited
    """
    await reserve(Bucket.of("verify-account", settings.LIMIT_VERIFY_ACCOUNT, str(user_id)))


async def limit_password_check(account: Account, session_id: UUID) -> Reservation:
    """Reserve a check of a signed-in user's current password. The caller refunds it if it is right.

    A change of the credentials starts a new bucket for the account, so a stolen session cannot use
    up the limit of an owner who has reset the password.

    Raises:
        RateLimited
    """
    return await reserve(
        Bucket.of("password-session", settings.LIMIT_PASSWORD_SESSION, str(session_id)),
        Bucket.of("password-account", settings.LIMIT_PASSWORD_ACCOUNT, account.key),
    )


async def limit_second_factor(account: Account, method: str, device: str | None) -> Reservation:
    """Reserve an attempt with a code of a second factor. The caller refunds it if it is right.

    Counted for the account, so a new challenge gives no new attempts, and for the method, so wrong
    codes of an app do not use up those of the recovery codes. A device on which the account signed
    in before has its own bucket: someone who knows the password cannot lock its owner out. All
    known devices share one more: with a leaked `SECRET_KEY`, any number can be forged. A change of
    the credentials starts a new bucket, but not a new day.

    Args:
        device: the id of a known device.

    Raises:
        RateLimited
    """
    user = f"{account.user_id} {method}"
    if device:
        return await reserve(
            Bucket.of("mfa-device", settings.LIMIT_MFA, f"{account.key} {method} {device}"),
            Bucket.of("mfa-device-day", settings.LIMIT_MFA_DAY, f"{user} {device}"),
            Bucket.of("mfa-all-devices", settings.LIMIT_LOGIN_ALL_DEVICES, user),
        )
    return await reserve(
        Bucket.of("mfa-account", settings.LIMIT_MFA, f"{account.key} {method}"),
        Bucket.of("mfa-account-day", settings.LIMIT_MFA_DAY, user),
    )


async def limit_step_up(account: Account, session_id: UUID) -> Reservation:
    """Reserve a code that a signed-in user sends. The caller refunds it if it is right.

    A stolen session uses up its own attempts, and not those of a sign-in.

    Raises:
        RateLimited
    """
    return await reserve(
        Bucket.of("mfa-session", settings.LIMIT_MFA, str(session_id)),
        Bucket.of("mfa-sessions-day", settings.LIMIT_MFA_DAY, str(account.user_id)),
    )


async def limit_passkey_options(client: Client) -> None:
    """Count the beginning of a sign-in by passkey, which stores a challenge.

    Raises:
        RateLimited
    """
    await reserve(*per_network("passkey-options-ip", settings.LIMIT_PASSKEY_IP, client))


async def limit_passkey(client: Client) -> Reservation:
    """Reserve a sign-in by passkey. The caller refunds it if it succeeds.

    A passkey cannot be guessed. The limit bounds the signatures to verify and the audit events.

    Raises:
        RateLimited
    """
    return await reserve(*per_network("passkey-ip", settings.LIMIT_PASSKEY_IP, client))


async def limit_api_keys(user_id: int) -> None:
    """Count an API key that a user creates.

    Raises:
        RateLimited
    """
    await reserve(Bucket.of("api-key-user", settings.LIMIT_API_KEYS, str(user_id)))


async def limit_key_reports(client: Client) -> None:
    """Count a report of a key that was found.

    Raises:
        RateLimited
    """
    await reserve(*per_network("api-key-report-ip", settings.LIMIT_API_KEY_REPORT_IP, client))


async def allows_challenge(user_id: int) -> bool:
    """Count a sign-in that waits for its second factor. Return whether it is within the limit."""
    try:
        await reserve(Bucket.of("mfa-challenge", settings.LIMIT_LOGIN_ACCOUNT, str(user_id)))
    except RateLimited:
        return False
    return True
