"""Each rate limit alone, while all others are out of reach."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID, uuid4

import pytest

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.services import throttle
from plinth.accounts.services.throttle import KnownDevice
from plinth.config import Settings, settings
from plinth.db.database import Database
from plinth.errors import RateLimited
from plinth.organizations.services import limits as organizations
from plinth.request.client import Client
from plinth.request.context import begin_request
from plinth.security.devices import Account

RATES = sorted(
    name
    for name, info in Settings.model_fields.items()
    if name.startswith("LIMIT_") and info.annotation is str
)


@dataclass(frozen=True, slots=True)
class Subject:
    """The source of the attempts. Its values are unique, because counts outlive a test."""

    email: str = field(default_factory=lambda: f"{uuid4().hex}@example.com")
    client: Client = field(
        default_factory=lambda: Client(str(IPv4Address(random.randint(2**24, 2**31))), None)
    )
    user_id: int = field(default_factory=lambda: random.randint(1, 2**62))
    session_id: UUID = field(default_factory=uuid4)

    @property
    def account(self) -> Account:
        return Account(self.user_id, 0)

    @property
    def device(self) -> KnownDevice:
        return KnownDevice(self.session_id.hex, self.account)


Attempt = Callable[[Subject], Awaitable[object]]


def sign_in(subject: Subject) -> Awaitable[object]:
    return throttle.limit_sign_in(subject.email, subject.client, None)


def sign_in_on_a_device(subject: Subject) -> Awaitable[object]:
    return throttle.limit_sign_in(subject.email, subject.client, subject.device)


def mail(subject: Subject) -> Awaitable[object]:
    return throttle.limit_mail("email_verify", subject.email, is_requested=False)


CASES: dict[str, tuple[str, Attempt]] = {
    "LIMIT_LOGIN_ACCOUNT_IP": ("login-account-ip", sign_in),
    "LIMIT_LOGIN_ACCOUNT": ("login-account", sign_in),
    "LIMIT_LOGIN_ACCOUNT_DAY": ("login-account-day", sign_in),
    "LIMIT_LOGIN_IP": ("login-ip", sign_in),
    "LIMIT_LOGIN_DEVICE": ("login-device", sign_in_on_a_device),
    "LIMIT_LOGIN_DEVICE_DAY": ("login-device-day", sign_in_on_a_device),
    "LIMIT_LOGIN_ALL_DEVICES": ("login-all-devices", sign_in_on_a_device),
    "LIMIT_PASSWORD_SESSION": (
        "password-session",
        lambda it: throttle.limit_password_check(it.account, it.session_id),
    ),
    "LIMIT_PASSWORD_ACCOUNT": (
        "password-account",
        lambda it: throttle.limit_password_check(it.account, uuid4()),
    ),
    "LIMIT_MFA": ("mfa-account", lambda it: throttle.limit_second_factor(it.account, "totp", None)),
    "LIMIT_MFA_DAY": (
        "mfa-device-day",
        lambda it: throttle.limit_second_factor(it.account, "totp", "a device"),
    ),
    "LIMIT_REGISTER_IP": ("register-ip", lambda it: throttle.limit_registration(it.client)),
    "LIMIT_API_KEYS": ("api-key-user", lambda it: throttle.limit_api_keys(it.user_id)),
    "LIMIT_API_KEY_REPORT_IP": (
        "api-key-report-ip",
        lambda it: throttle.limit_key_reports(it.client),
    ),
    "LIMIT_OIDC_IP": ("oidc-start-ip", lambda it: throttle.limit_provider("start", it.client)),
    "LIMIT_PASSKEY_IP": ("passkey-ip", lambda it: throttle.limit_passkey(it.client)),
    "LIMIT_REFRESH_SESSION": ("refresh-session", lambda it: throttle.limit_refresh(it.session_id)),
    "LIMIT_REFRESH_UNKNOWN_IP": (
        "refresh-unknown-ip",
        lambda it: throttle.limit_unknown_refresh(it.client),
    ),
    "LIMIT_FORGOT_ACCOUNT": (
        "forgot-account",
        lambda it: throttle.limit_mail_request("forgot", it.email, it.client, None),
    ),
    "LIMIT_FORGOT_IP": (
        "forgot-ip",
        lambda it: throttle.limit_mail_request(
            "forgot", f"{uuid4().hex}@example.com", it.client, None
        ),
    ),
    "LIMIT_VERIFY_ACCOUNT": ("verify-account", lambda it: throttle.limit_verification(it.user_id)),
    "LIMIT_ORGANIZATION_USER": (
        "organization-user",
        lambda it: organizations.limit_slugs(it.user_id),
    ),
    "LIMIT_INVITE_USER": (
        "invite-user",
        lambda it: organizations.limit_invitations(it.user_id, it.user_id),
    ),
    "LIMIT_INVITE_ORGANIZATION": (
        "invite-organization",
        lambda it: organizations.limit_invitations(it.user_id, it.user_id),
    ),
    "LIMIT_MAIL_ADDRESS": ("mail-address", mail),
    "LIMIT_MAIL_ADDRESS_DAY": ("mail-address-day", mail),
}


@pytest.fixture
async def unlimited(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put every limit out of reach, on the Redis that the application uses."""
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    for name in RATES:
        monkeypatch.setattr(settings, name, "10000/1h")


def test_each_rate_has_a_test_case() -> None:
    assert sorted(CASES) == RATES, "add the new setting to CASES"


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize("name", CASES)
async def test_each_limit_applies_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, name, "2/1h")
    bucket, attempt = CASES[name]
    subject = Subject()

    for _ in range(2):
        await attempt(subject)
    with pytest.raises(RateLimited) as refusal:
        await attempt(subject)

    assert [it.name for it in refusal.value.exceeded] == [bucket]
    await attempt(Subject())  # attempts of another subject are counted separately


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][1] is sign_in])
async def test_each_sign_in_limit_applies_to_authenticate(
    name: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, name, "2/1h")
    subject = Subject()

    async def guess() -> User | None:
        begin_request(None, subject.client)
        async with database.transaction() as db:
            return await queries.user.authenticate(db, email=subject.email, password="wrong-1A")

    for _ in range(2):
        assert await asyncio.create_task(guess(), context=Context()) is None
    with pytest.raises(RateLimited) as refusal:
        await asyncio.create_task(guess(), context=Context())
    assert [it.name for it in refusal.value.exceeded] == [CASES[name][0]]


@pytest.mark.usefixtures("unlimited")
async def test_known_device_has_a_separate_bucket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "LIMIT_LOGIN_ACCOUNT", "2/1h")
    subject = Subject()
    for _ in range(2):
        await sign_in(subject)
    with pytest.raises(RateLimited):
        await sign_in(subject)
    await sign_in_on_a_device(subject)


@pytest.mark.usefixtures("unlimited")
async def test_ipv6_site_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LIMIT_REGISTER_IP", "1/1h")
    monkeypatch.setattr(settings, "LIMIT_IPV6_SITE_FACTOR", 2)
    site = random.randint(2**45, 2**46) << 80
    subnets = [Client(str(IPv6Address(site + (number << 64))), None) for number in range(3)]
    for client in subnets[:2]:
        await throttle.limit_registration(client)
    with pytest.raises(RateLimited) as refusal:
        await throttle.limit_registration(subnets[2])
    assert [it.name for it in refusal.value.exceeded] == ["register-ip-site"]
