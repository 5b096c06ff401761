"""Limits over HTTP: attacks on an account, and their effect on its owner."""

import asyncio
import inspect
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice

import asyncpg
import pytest
from httpx2 import AsyncClient, Response
from redis.asyncio import Redis

from plinth.accounts.services import throttle
from plinth.cache import cache
from plinth.config import Settings, settings
from plinth.limits import sign_in
from plinth.testing.databases import TestServices
from plinth.testing.people import PASSWORD, People
from tests.support.limit_clock import pass_time
from tests.support.networks import From, some_ip

WRONG = "Wrong-Horse-8"


@pytest.fixture(autouse=True)
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)


async def log_in(client: AsyncClient, email: str, password: str = WRONG) -> Response:
    return await client.post("/auth/login", json={"email": email, "password": password})


async def test_failed_sign_ins_are_limited_by_account_and_address(at: From, people: People) -> None:
    ann, ip = await people.add(), some_ip()
    answers = [await log_in(at(ip), ann.email) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    refused = answers[-1]
    assert refused.json()["code"] == "too_many_attempts"
    assert refused.headers["content-type"] == "application/problem+json"
    assert 0 < int(refused.headers["Retry-After"]) <= 300
    assert refused.headers["RateLimit-Policy"] == '"login-account-ip";q=5;w=300'
    assert refused.headers["RateLimit"].startswith('"login-account-ip";r=0;t=')
    right = await log_in(at(ip), ann.email, PASSWORD)
    assert right.status_code == 429, "the limit is asked before the password"
    assert (await log_in(at(some_ip()), ann.email, PASSWORD)).status_code == 200


async def test_responses_do_not_depend_on_the_account_existing(at: From, people: People) -> None:
    ann, ip = await people.add(), some_ip()
    known = [await log_in(at(ip), ann.email) for _ in range(7)]
    other = some_ip()
    unknown = [await log_in(at(other), f"nobody-{other}@example.com") for _ in range(7)]
    for one, two in zip(known, unknown, strict=True):
        assert one.status_code == two.status_code
        assert one.json()["detail"] == two.json()["detail"]


async def test_concurrent_attempts_never_exceed_the_limit(
    at: From, people: People, second: asyncpg.Connection
) -> None:
    ann, ip = await people.add(), some_ip()
    answers = await asyncio.gather(*(log_in(at(ip), ann.email) for _ in range(20)))
    assert Counter(answer.status_code for answer in answers) == {401: 5, 429: 15}
    tried = "SELECT count(*) FROM events WHERE event = 'session.started'"
    assert await second.fetchval(tried) == 5


async def test_account_limit_spans_addresses_and_ignores_case(at: From, people: People) -> None:
    ann = await people.add()
    spellings = [ann.email.upper(), ann.email.title(), ann.email]
    answers = [await log_in(at(some_ip()), spellings[n % 3]) for n in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]


async def test_account_limit_ignores_the_spelling_of_the_email(at: From, people: People) -> None:
    ann = await people.add()
    local, _, domain = ann.email.partition("@")
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in domain)
    spellings = [f" {ann.email}", f"{ann.email}\u3000", f"{local}@{wide}", ann.email]
    assert (await log_in(at(some_ip()), spellings[2], PASSWORD)).status_code == 200
    answers = [await log_in(at(some_ip()), spellings[n % 4]) for n in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]


@pytest.mark.parametrize("look_alike", ["\u0130", "\u0131", "i\u0301", "\uff49", "\u0456"])
async def test_attempts_on_a_lookalike_email_do_not_count_for_the_account(
    at: From, people: People, look_alike: str
) -> None:
    ann = await people.add(email=f"victim-{some_ip()}@example.com")
    for _ in range(11):
        await log_in(at(some_ip()), ann.email.replace("i", look_alike, 1))
    assert (await log_in(at(some_ip()), ann.email, PASSWORD)).status_code == 200


async def test_ip_limit_spans_all_accounts(at: From) -> None:
    ip = some_ip()
    answers = [await log_in(at(ip), f"nobody{n}-{ip}@example.com") for n in range(21)]
    assert [answer.status_code for answer in answers] == [401] * 20 + [429]


async def test_success_with_another_account_does_not_clear_the_ip_count(
    at: From, people: People
) -> None:
    eve, ip = await people.add(), some_ip()
    statuses = []
    for n in range(24):
        statuses.append((await log_in(at(ip), f"victim{n}-{ip}@example.com")).status_code)
        if n % 4 == 0 and n < 20:
            mine = await log_in(at(ip), eve.email, PASSWORD)
            assert mine.status_code == 200
    assert statuses == [401] * 20 + [429] * 4


async def test_forged_x_forwarded_for_does_not_bypass_the_limit(at: From, people: People) -> None:
    ann, ip = await people.add(), some_ip()
    client, statuses = at(ip), []
    for _ in range(6):
        client.headers["X-Forwarded-For"] = some_ip()
        statuses.append((await log_in(client, ann.email)).status_code)
    assert statuses == [401] * 5 + [429]


async def test_attack_does_not_lock_the_owner_out_on_a_known_device(
    at: From, people: People
) -> None:
    ann, home = await people.add(), some_ip()
    device = at(home)
    assert (await log_in(device, ann.email, PASSWORD)).status_code == 200
    assert "plinth_device" in device.cookies
    for ip in (home, *(some_ip() for _ in range(12))):  # also from the same IP address
        for _ in range(6):
            await log_in(at(ip), ann.email)
    assert (await log_in(at(some_ip()), ann.email, PASSWORD)).status_code == 429
    assert (await log_in(device, ann.email, PASSWORD)).status_code == 200


async def test_device_cookie_is_bound_to_its_account_and_rate_limited(
    at: From, people: People
) -> None:
    ann, eve = await people.add(), await people.add()
    client = at(some_ip())
    await log_in(client, eve.email, PASSWORD)
    guesses = [await log_in(client, ann.email) for _ in range(6)]
    assert guesses[-1].status_code == 429, "a device that eve signed in on is none of ann's"
    stolen = [await log_in(client, eve.email) for _ in range(11)]
    assert [answer.status_code for answer in stolen] == [401] * 10 + [429]


async def test_device_cookie_is_http_only(at: From, people: People) -> None:
    ann = await people.add()
    answer = await log_in(at(some_ip()), ann.email, PASSWORD)
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("plinth_device=")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/api/v1/auth" in cookie


async def test_device_cookie_is_secure_outside_development(
    at: From, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    ann = await people.add()
    answer = await log_in(at(some_ip()), ann.email, PASSWORD)
    assert "; secure" in answer.headers["set-cookie"].lower()


async def test_limit_permits_attempts_after_retry_after(
    at: From, people: People, services: TestServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMIT_LOGIN_ACCOUNT_IP", "1/1h")
    ann, ip = await people.add(), some_ip()
    assert (await log_in(at(ip), ann.email)).status_code == 401
    refused = await log_in(at(ip), ann.email)
    assert refused.status_code == 429
    async with Redis.from_url(services.redis_url) as redis:
        await pass_time(redis, settings.CACHE_PREFIX, int(refused.headers["Retry-After"]))
    assert (await log_in(at(ip), ann.email, PASSWORD)).status_code == 200


async def test_registration_is_limited_by_ip(at: From) -> None:
    ip = some_ip()
    statuses = []
    for n in range(21):
        name = f"new{n}-{ip.replace('.', '-')}"
        account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        statuses.append((await at(ip).post("/auth/register", json=account)).status_code)
    assert statuses == [201] * 20 + [429]


async def test_refresh_limit_counts_per_session_and_ignores_invented_tokens(
    at: From, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", False)
    ann = await people.enter()
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    client, token = at(some_ip()), ann.tokens["refresh_token"]
    made_up = token[:60] + "A" * (len(token) - 60)  # this session's id, another secret
    for _ in range(31):
        assert (
            await client.post("/auth/refresh", json={"refresh_token": made_up})
        ).status_code in (401, 429)
    statuses = []
    for _ in range(31):
        answer = await client.post("/auth/refresh", json={"refresh_token": token})
        statuses.append(answer.status_code)
        token = answer.json().get("refresh_token", token)
    assert statuses == [200] * 30 + [429]


async def test_refresh_of_an_idle_session_skips_the_limit(
    client: AsyncClient, people: People, second: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMIT_REFRESH_SESSION", "1/5m")
    ann = await people.enter()
    tokens = [ann.tokens["refresh_token"]]

    async def refresh(after: str) -> int:
        await second.execute(f"UPDATE sessions SET last_used_at = now() - interval '{after}'")
        answer = await client.post("/auth/refresh", json={"refresh_token": tokens[-1]})
        tokens.append(answer.json().get("refresh_token", tokens[-1]))
        return answer.status_code

    assert [await refresh(after) for after in ["5 minutes"] * 3] == [200] * 3
    assert [await refresh(after) for after in ["4 minutes"] * 3] == [200, 429, 429]
    monkeypatch.setattr(cache, "_redis", None)
    assert [await refresh(after) for after in ["5 minutes"] * 3] == [200] * 3


async def test_ipv6_network_counts_as_one_address(at: From) -> None:
    site = f"2001:db8:{random.randint(1, 0xFFFF):x}:{random.randint(1, 0xFFFF):x}"
    answers = [
        await log_in(at(f"{site}::{n + 1:x}"), f"nobody{n}-{site.replace(':', '-')}@example.com")
        for n in range(21)
    ]
    assert [answer.status_code for answer in answers] == [401] * 20 + [429]


def some_site() -> Iterator[str]:
    """Yield addresses of one /48 that no other test uses, each in a separate /64."""
    site = f"2001:db8:{random.randint(1, 0xFFFF):x}"
    return (f"{site}:{n:x}::1" for n in range(0x10000))


async def try_to_register(client: AsyncClient, ip: str) -> Response:
    name = f"new{ip.replace(':', '-')}"
    account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    return await client.post("/auth/register", json=account)


async def forget(client: AsyncClient, ip: str) -> Response:
    email = f"nobody{ip.replace(':', '-')}@example.com"
    return await client.post("/auth/password/forgot", json={"email": email})


async def guess(client: AsyncClient, ip: str) -> Response:
    return await log_in(client, f"nobody{ip.replace(':', '-')}@example.com")


@pytest.mark.parametrize(
    ("setting", "name", "act", "status"),
    [
        ("LIMIT_LOGIN_IP", "login-ip", guess, 401),
        ("LIMIT_REGISTER_IP", "register-ip", try_to_register, 201),
        ("LIMIT_FORGOT_IP", "forgot-ip", forget, 202),
    ],
)
async def test_ipv6_site_limit_spans_its_subnets(
    at: From,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    name: str,
    act: Callable[[AsyncClient, str], Awaitable[Response]],
    status: int,
) -> None:
    monkeypatch.setattr(settings, setting, "2/5m")
    monkeypatch.setattr(settings, "LIMIT_IPV6_SITE_FACTOR", 3)
    ips = some_site()
    answers = [await act(at(ip), ip) for ip in islice(ips, 7)]
    assert [answer.status_code for answer in answers] == [status] * 6 + [429]
    assert answers[-1].headers["RateLimit-Policy"] == f'"{name}-site";q=6;w=300'
    another = next(some_site())
    assert (await act(at(another), another)).status_code == status


def test_each_ip_limit_also_counts_the_ipv6_site() -> None:
    """The limit by account *and* address needs no count by network, unlike the others."""
    source = inspect.getsource(throttle) + inspect.getsource(sign_in)
    by_address = {name for name in Settings.model_fields if re.fullmatch("LIMIT_.*_IP", name)}
    both = set(re.findall(r"\bper_network\([^)]*settings\.(LIMIT_\w+)", source))
    assert both == by_address - {"LIMIT_LOGIN_ACCOUNT_IP"}


async def test_half_of_each_limit_applies_without_redis(
    at: From, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_redis", None)
    ann, ip = await people.add(), some_ip()
    answers = [await log_in(at(ip), ann.email) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401] * 2 + [429] * 2


async def test_limit_survives_a_flush_of_redis_scripts(at: From, people: People) -> None:
    ann, ip = await people.add(), some_ip()
    statuses = []
    for _ in range(6):
        await cache.call(lambda redis: redis.script_flush(), None)
        statuses.append((await log_in(at(ip), ann.email)).status_code)
    assert statuses == [401] * 5 + [429]


async def test_attack_adds_one_event_to_the_audit_log(
    at: From, people: People, second: asyncpg.Connection
) -> None:
    ann, ip = await people.add(), some_ip()
    for _ in range(15):
        await log_in(at(ip), ann.email)
    rows = await second.fetch("SELECT subject_id FROM events WHERE event = 'session.limited'")
    assert [row["subject_id"] for row in rows] == [ann.id]


async def test_redis_keys_contain_no_email(at: From, people: People) -> None:
    ann = await people.add()
    await log_in(at(some_ip()), ann.email)
    none: list[bytes | str] = []
    names = await cache.call(lambda redis: redis.keys("*"), none)
    assert names
    assert not any(ann.email in str(name) for name in names)
