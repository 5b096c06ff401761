"""Attempts to bypass limits: with many devices, sessions, or invented tokens."""

import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from hmac import digest

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from plinth.accounts import queries
from plinth.cache import cache
from plinth.config import settings
from plinth.db.database import Database
from plinth.errors import RateLimited
from plinth.security.devices import COOKIE
from plinth.testing.people import PASSWORD, People
from tests.support.factors import enroll
from tests.support.mail_server import Inbox, token_of
from tests.support.networks import From, some_ip
from tests.support.superuser import Superuser

WRONG = "Wrong-Horse-8"
LEAKED_KEY = "leaked-secret-key-of-at-least-32-bytes-abc"
CHANGES = {
    "password": "UPDATE users SET hashed_password = hashed_password || 'x'",
    "e-mail": "UPDATE users SET email = 'A' || email",
    "role": "UPDATE users SET is_superuser = NOT is_superuser",
    "active flag": "UPDATE users SET is_active = NOT is_active",
}


@pytest.fixture(autouse=True)
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)


async def log_in(client: AsyncClient, email: str, password: str = WRONG) -> Response:
    return await client.post("/auth/login", json={"email": email, "password": password})


async def known_devices(at: From, email: str, count: int) -> list[AsyncClient]:
    ip = some_ip()
    clients = [at(ip) for _ in range(count)]
    for client in clients:
        assert (await log_in(client, email, PASSWORD)).status_code == 200
    return clients


def forge_device(key: str, user_id: int, *, epoch: int = 0, number: int = 0) -> str:
    """Return the cookie of a known device that anyone who has the key can make."""
    device = f"{number:022}"
    signed = f"{device}\0{user_id} {epoch}".encode()
    signature = digest(digest(key.encode(), b"plinth known device", sha256), signed, sha256)
    return f"{device}.{urlsafe_b64encode(signature[:16]).rstrip(b'=').decode()}"


async def test_a_new_secret_key_ends_forged_devices(
    at: From, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", [LEAKED_KEY])  # it only decrypts
    monkeypatch.setattr(settings, "LIMIT_LOGIN_ACCOUNT", "1/1d")
    monkeypatch.setattr(settings, "LIMIT_LOGIN_ALL_DEVICES", "2/1d")
    ann = await people.add()
    statuses = {}
    assert (await log_in(at(some_ip()), ann.email)).status_code == 401
    for key in (LEAKED_KEY, settings.SECRET_KEY):
        client = at(some_ip())
        client.cookies.set(COOKIE, forge_device(key, ann.id))
        statuses[key] = [int((await log_in(client, ann.email)).status_code) for _ in range(3)]
    assert statuses == {
        LEAKED_KEY: [429, 429, 429],
        settings.SECRET_KEY: [401, 401, 429],  # the limit of all devices together
    }


async def test_forged_devices_share_a_limit_of_codes(
    at: From, people: People, second: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMIT_LOGIN_ALL_DEVICES", "3/1d")
    ann = await people.enter()
    await enroll(at(some_ip()), second, ann)
    epoch = await second.fetchval("SELECT credential_epoch FROM users WHERE id = $1", ann.id)
    statuses = []
    for number in range(5):
        client = at(some_ip())
        cookie = forge_device(settings.SECRET_KEY, ann.id, epoch=epoch, number=number)
        client.cookies.set(COOKIE, cookie)
        pending = (await log_in(client, ann.email, PASSWORD)).json()
        body = {"challenge": pending["challenge"], "method": "totp", "code": "000000"}
        statuses.append(int((await client.post("/auth/mfa", json=body)).status_code))
    assert statuses == [400, 400, 400, 429, 429]


async def test_password_change_voids_devices_collected_by_an_attacker(
    at: From, people: People
) -> None:
    ann = await people.add()
    clients = await known_devices(at, ann.email, 12)
    owner = at(some_ip())
    tokens = (await log_in(owner, ann.email, PASSWORD)).json()
    changed = await owner.patch(
        "/users/me",
        json={"password": "Other-Horse-9", "current_password": PASSWORD},
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
    )
    assert changed.status_code == 200

    guesses = [await log_in(client, ann.email) for client in clients for _ in range(10)]

    counted = [answer.status_code for answer in guesses]
    assert counted == [401] * 5 + [429] * 115, "as for any stranger at one address"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_credential_change_voids_device_cookies(
    at: From, people: People, second: asyncpg.Connection, change: str
) -> None:
    ann = await people.add()
    (device,) = await known_devices(at, ann.email, 1)
    limits = (await log_in(device, ann.email)).headers
    await second.execute(change)
    email = await second.fetchval("SELECT email FROM users")
    answers = [await log_in(device, email) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429], limits


async def test_other_changes_keep_device_cookies(
    at: From, people: People, second: asyncpg.Connection
) -> None:
    ann = await people.add()
    (device,) = await known_devices(at, ann.email, 1)
    await second.execute("UPDATE users SET full_name = 'Ann', is_verified = NOT is_verified")
    await second.execute("UPDATE users SET session_epoch = session_epoch + 1")
    answers = [await log_in(device, ann.email) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 6


async def test_devices_of_an_account_share_a_limit(
    at: From, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMIT_LOGIN_ALL_DEVICES", "7/1d")
    ann, ben = await people.add(), await people.add()
    clients = await known_devices(at, ann.email, 4)
    answers = [await log_in(client, ann.email) for client in clients for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401] * 7 + [429] * 5
    assert "login-all-devices" in answers[-1].headers["ratelimit"]
    (other,) = await known_devices(at, ben.email, 1)
    assert (await log_in(other, ben.email)).status_code == 401, "another account's"


async def test_success_on_a_device_refunds_its_attempt(
    at: From, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMIT_LOGIN_ALL_DEVICES", "2/1d")
    ann = await people.add()
    (device,) = await known_devices(at, ann.email, 1)
    for _ in range(5):
        assert (await log_in(device, ann.email, PASSWORD)).status_code == 200


SITES = {
    "a program": ({}, True),
    "our own page": ({"origin": "http://test", "sec-fetch-site": "same-origin"}, True),
    "our own page, an old browser": ({"origin": "http://test"}, True),
    "a listed page": ({"origin": "http://localhost:3000", "sec-fetch-site": "same-site"}, True),
    "a stranger's page": (
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        False,
    ),
    "a stranger's page, an old browser": ({"origin": "https://evil.example"}, False),
    "a page without an origin": ({"origin": "null", "sec-fetch-site": "cross-site"}, False),
    "a page without an origin, an old browser": ({"origin": "null"}, False),
    "a form without a referrer": ({"sec-fetch-site": "cross-site"}, False),
    "a neighbor's page": ({"origin": "http://x.test", "sec-fetch-site": "same-site"}, False),
    "a page that lies below ours": ({"origin": "http://test.evil.example"}, False),
}


@pytest.mark.parametrize(("headers", "is_set"), SITES.values(), ids=SITES)
@pytest.mark.parametrize("path", ["/auth/token", "/auth/login"])
async def test_cross_site_request_sets_no_device_cookie(
    at: From, people: People, path: str, headers: dict[str, str], is_set: bool
) -> None:
    eve, client = await people.add(), at(some_ip())
    if path == "/auth/token":
        form = {"username": eve.email, "password": PASSWORD}
        answer = await client.post(path, data=form, headers=headers)
    else:
        credentials = {"email": eve.email, "password": PASSWORD}
        answer = await client.post(path, json=credentials, headers=headers)
    assert answer.status_code == 200
    assert ("set-cookie" in answer.headers) == is_set


async def test_cross_site_request_cannot_sign_in_to_the_admin(app: FastAPI, people: People) -> None:
    """Even if it knew the CSRF token of the form."""
    root = await people.add(is_superuser=True)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as browser:
        pages = Superuser(browser)
        await pages.get("/login")
        form = {"csrftoken": pages.csrf, "email": root.email, "password": root.password}
        for site in ("cross-site", "same-site"):
            headers = {"sec-fetch-site": site}
            assert (await browser.get("/admin/login", headers=headers)).is_success
            answer = await browser.post("/admin/login", headers=headers, data=form)
            assert (answer.status_code, answer.json()["code"]) == (403, "other_origin")
            assert "set-cookie" not in answer.headers
        own = await browser.post(
            "/admin/login", headers={"sec-fetch-site": "same-origin"}, data=form
        )
    assert own.status_code == 303


def invent_token(token: str) -> str:
    data = bytearray(urlsafe_b64decode(token))
    data[16:] = random.randbytes(len(data) - 16)
    return urlsafe_b64encode(bytes(data)).decode()


async def count_keys() -> int:
    none: list[bytes | str] = []
    found = await cache.call(lambda redis: redis.keys(f"{settings.CACHE_PREFIX}-limits:*"), none)
    return len(found)


async def test_invented_refresh_tokens_are_limited_by_ip(
    at: From, people: People, second: asyncpg.Connection
) -> None:
    ann = await people.enter()
    token = ann.tokens["refresh_token"]
    client, before = at(some_ip()), await count_keys()
    statuses = []
    for _ in range(40):
        answer = await client.post("/auth/refresh", json={"refresh_token": invent_token(token)})
        statuses.append(answer.status_code)
    assert statuses == [401] * 20 + [429] * 20
    assert await count_keys() - before == 2, "a bucket, and the mark of a refusal"
    # A client that shares the attacker's address can still use its valid token.
    assert (await client.post("/auth/refresh", json={"refresh_token": token})).status_code == 200


async def test_valid_token_of_an_earlier_key_refunds_its_attempt(
    at: From, people: People, second: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SECRET_KEY has changed: the mark of earlier tokens is wrong, and they stay valid."""
    monkeypatch.setattr(settings, "LIMIT_REFRESH_UNKNOWN_IP", "1/5m")
    ann, client = await people.enter(), at(some_ip())
    for _ in range(4):
        earlier = invent_token(ann.tokens["refresh_token"])
        stored = sha256(urlsafe_b64decode(earlier)).digest()
        await second.execute("UPDATE sessions SET token_hash = $1", stored)
        answer = await client.post("/auth/refresh", json={"refresh_token": earlier})
        assert answer.status_code == 200


async def test_sessions_of_an_account_share_the_password_limit(
    at: From, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMIT_PASSWORD_ACCOUNT", "7/1d")
    ann = await people.add()
    sessions = [await people.sign_in(ann) for _ in range(4)]
    change, statuses = {"password": "Other-Horse-9", "current_password": WRONG}, []
    for session in sessions:
        for _ in range(3):
            answer = await at(some_ip()).patch("/users/me", json=change, headers=session.headers)
            statuses.append(answer.status_code)
    assert statuses == [400] * 7 + [429] * 5


async def test_reset_by_mail_lets_the_owner_in_despite_used_up_limits(
    at: From, people: People, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMIT_LOGIN_ACCOUNT_DAY", "4/1d")
    monkeypatch.setattr(settings, "LIMIT_LOGIN_ALL_DEVICES", "2/1d")
    monkeypatch.setattr(settings, "LIMIT_PASSWORD_ACCOUNT", "2/1d")
    ann, new, owner = await people.enter(), "Other-Horse-9", at(some_ip())
    (stolen,) = await known_devices(at, ann.email, 1)
    assert [(await log_in(stolen, ann.email)).status_code for _ in range(3)] == [401, 401, 429]
    for _ in range(4):
        assert (await log_in(at(some_ip()), ann.email)).status_code == 401
    assert (await log_in(owner, ann.email, PASSWORD)).status_code == 429
    change = {"password": new, "current_password": WRONG}
    for status in (400, 400, 429):
        answer = await stolen.patch("/users/me", json=change, headers=ann.headers)
        assert answer.status_code == status

    await owner.post("/auth/password/forgot", json={"email": ann.email})
    token = token_of(await inbox.next(ann.email, "Set a new password"))
    body = {"token": token, "password": new}
    assert (await owner.post("/auth/password/reset", json=body)).status_code == 204

    tokens = (await log_in(owner, ann.email, new)).json()
    answer = await owner.patch(
        "/users/me",
        json={"password": PASSWORD, "current_password": new},
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
    )
    assert answer.status_code == 200
    assert (await log_in(at(some_ip()), ann.email)).status_code == 429, "still, for strangers"


async def test_known_device_has_a_separate_limit_for_password_resets(
    at: From, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMIT_FORGOT_ACCOUNT", "2/30m")
    ann = await people.add()
    (device,) = await known_devices(at, ann.email, 1)

    async def forget(client: AsyncClient) -> int:
        return (await client.post("/auth/password/forgot", json={"email": ann.email})).status_code

    assert [await forget(at(some_ip())) for _ in range(3)] == [202, 202, 429]
    assert [await forget(device) for _ in range(3)] == [202, 202, 429]


async def test_authenticate_shares_the_limits_of_the_routes(
    at: From, people: People, database: Database
) -> None:
    ann = await people.add()
    async with database.transaction() as db:
        assert await queries.user.authenticate(db, email=ann.email, password=PASSWORD)
        for _ in range(5):
            assert await queries.user.authenticate(db, email=ann.email, password=WRONG) is None
        with pytest.raises(RateLimited):  # from one address, which is none here
            await queries.user.authenticate(db, email=ann.email, password=PASSWORD)
    statuses = [(await log_in(at(some_ip()), ann.email)).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429], "ten failures from everywhere"
