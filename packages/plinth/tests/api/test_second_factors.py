"""Second factors over HTTP: enrollment, sign-in, recovery codes, step-up, and the policy."""

import asyncio
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.testing.people import PASSWORD, People, Person
from tests.support.factors import App, add_app, confirm_app, enroll

UNKNOWN = "A" * 64


async def begin(client: AsyncClient, person: Person) -> dict[str, Any]:
    response = await client.post(
        "/auth/login", json={"email": person.email, "password": person.password}
    )
    assert response.status_code == 403, response.text
    assert response.json()["code"] == "mfa_required"
    assert "access_token" not in response.text
    return dict(response.json())


async def complete(
    client: AsyncClient, challenge: str, code: str, method: str = "totp"
) -> Response:
    body = {"challenge": challenge, "method": method, "code": code}
    return await client.post("/auth/mfa", json=body)


def with_tokens(person: Person, response: Response) -> Person:
    assert response.status_code == 200, response.text
    return Person(person.id, person.email, person.username, person.password, response.json())


async def make_stale(second: asyncpg.Connection, person: Person) -> None:
    await second.execute(
        "UPDATE sessions SET authenticated_at = now() - interval '1 hour' WHERE user_id = $1",
        person.id,
    )


@pytest.fixture
async def person(people: People) -> Person:
    return await people.enter(is_verified=True)


@pytest.fixture
async def phone(client: AsyncClient, second: asyncpg.Connection, person: Person) -> App:
    return await enroll(client, second, person)


async def test_enrollment_and_sign_in(client: AsyncClient, people: People, person: Person) -> None:
    other = await people.sign_in(person)
    app = await add_app(client, person)
    assert (await people.try_to_sign_in(person)).status_code == 200, "it counts once confirmed"
    await confirm_app(client, person, app)
    assert (await client.get("/users/me", headers=other.headers)).status_code == 401
    listed = (await client.get("/users/me/factors", headers=person.headers)).json()
    assert [(it["id"], it["kind"], it["name"]) for it in listed] == [
        (app.factor_id, "totp", "Authenticator app")
    ]
    assert listed[0]["confirmed_at"]
    pending = await begin(client, person)
    assert pending["methods"] == ["totp"]
    signed_in = with_tokens(person, await complete(client, pending["challenge"], app.code(1)))
    assert (await client.get("/users/me", headers=signed_in.headers)).status_code == 200


async def test_token_form_requires_the_factor(
    client: AsyncClient, person: Person, phone: App
) -> None:
    form = {"username": person.email, "password": PASSWORD, "grant_type": "password"}
    response = await client.post("/auth/token", data=form)
    assert (response.status_code, response.json()["code"]) == (403, "mfa_required")


async def test_a_wrong_code_keeps_the_challenge(
    client: AsyncClient, second: asyncpg.Connection, person: Person, phone: App
) -> None:
    pending = await begin(client, person)
    wrong = await complete(client, pending["challenge"], "000000")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "wrong_code")
    assert (
        await second.fetchval(
            "SELECT outcome FROM events WHERE event = 'factor.used' AND subject_id = $1", person.id
        )
        == "failure"
    )
    assert (await complete(client, pending["challenge"], phone.code())).status_code == 200
    again = await complete(client, pending["challenge"], phone.code(1))
    assert (again.status_code, again.json()["code"]) == (400, "invalid_challenge")


async def test_a_code_is_accepted_once(client: AsyncClient, person: Person, phone: App) -> None:
    first, other = await begin(client, person), await begin(client, person)
    assert (await complete(client, first["challenge"], phone.code())).status_code == 200
    for drift in (0, -1):
        replayed = await complete(client, other["challenge"], phone.code(drift))
        assert replayed.json()["code"] == "wrong_code"
    assert (await complete(client, other["challenge"], phone.code(1))).status_code == 200


@pytest.mark.parametrize("method", ["totp", "recovery_code"])
async def test_twenty_uses_of_one_code_start_one_session(
    client: AsyncClient,
    person: Person,
    phone: App,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    monkeypatch.setattr(settings, "LIMIT_MFA", "1000/1m")
    code = phone.code()
    if method == "recovery_code":
        made = await client.post("/users/me/recovery-codes", headers=person.headers)
        code = made.json()["codes"][0]
    pending = [await begin(client, person) for _ in range(10)]
    tries = [complete(client, it["challenge"], code, method) for it in pending for _ in range(3)]
    statuses = [response.status_code for response in await asyncio.gather(*tries)]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 400, 503}


async def test_attempts_are_counted_per_account_and_not_per_challenge(
    client: AsyncClient, person: Person, phone: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    for _ in range(5):
        pending = await begin(client, person)
        assert (await complete(client, pending["challenge"], "000000")).status_code == 400
    pending = await begin(client, person)
    assert (await complete(client, pending["challenge"], phone.code())).status_code == 429


async def test_recovery_codes_sign_in_once_and_are_replaced(
    client: AsyncClient, person: Person, phone: App
) -> None:
    made = await client.post("/users/me/recovery-codes", headers=person.headers)
    codes = made.json()["codes"]
    assert len(set(codes)) == 10
    pending = await begin(client, person)
    assert pending["methods"] == ["totp", "recovery_code"]
    typed = codes[0].lower().replace("-", " ")
    assert (await complete(client, pending["challenge"], typed, "recovery_code")).status_code == 200
    pending = await begin(client, person)
    used = await complete(client, pending["challenge"], codes[0], "recovery_code")
    assert used.json()["code"] == "wrong_code"
    await client.post("/users/me/recovery-codes", headers=person.headers)
    replaced = await complete(client, pending["challenge"], codes[1], "recovery_code")
    assert replaced.json()["code"] == "wrong_code"


async def test_removing_the_last_factor_removes_the_recovery_codes(
    client: AsyncClient, second: asyncpg.Connection, people: People, person: Person, phone: App
) -> None:
    await client.post("/users/me/recovery-codes", headers=person.headers)
    gone = await client.delete(f"/users/me/factors/{phone.factor_id}", headers=person.headers)
    assert gone.status_code == 204
    assert (
        await second.fetchval("SELECT count(*) FROM recovery_codes WHERE user_id = $1", person.id)
        == 0
    )
    assert (await people.try_to_sign_in(person)).status_code == 200
    refused = await client.post("/users/me/recovery-codes", headers=person.headers)
    assert refused.json()["code"] == "no_factor"


@pytest.mark.parametrize("change", ["password", "factor", "inactive", "demoted"])
async def test_a_change_of_the_credentials_voids_a_challenge(
    client: AsyncClient, second: asyncpg.Connection, person: Person, phone: App, change: str
) -> None:
    pending = await begin(client, person)
    if change == "factor":
        another = await add_app(client, person)
        await confirm_app(client, person, another)
    else:
        column = {
            "password": "hashed_password = hashed_password || 'x'",
            "inactive": "is_active = false",
            "demoted": "is_superuser = NOT is_superuser",
        }[change]
        await second.execute(f"UPDATE users SET {column} WHERE id = $1", person.id)
    response = await complete(client, pending["challenge"], phone.code())
    assert (response.status_code, response.json()["code"]) == (400, "invalid_challenge")


async def test_an_unknown_or_expired_challenge_is_refused(
    client: AsyncClient, second: asyncpg.Connection, person: Person, phone: App
) -> None:
    for text in ("", "x", UNKNOWN, UNKNOWN + "é"):
        assert (await complete(client, text, phone.code())).json()["code"] == "invalid_challenge"
    pending = await begin(client, person)
    await second.execute("UPDATE challenges SET expires_at = now()")
    expired = await complete(client, pending["challenge"], phone.code())
    assert expired.json()["code"] == "invalid_challenge"


async def test_factor_of_another_user_cannot_be_confirmed_or_removed(
    client: AsyncClient, people: People, person: Person
) -> None:
    app = await add_app(client, person)
    stranger = await people.enter()
    path = f"/users/me/factors/{app.factor_id}"
    body = {"code": app.code()}
    confirmed = await client.post(f"{path}/confirm", json=body, headers=stranger.headers)
    removed = await client.delete(path, headers=stranger.headers)
    assert (confirmed.status_code, removed.status_code) == (404, 404)


async def test_a_stale_session_must_step_up(
    client: AsyncClient, second: asyncpg.Connection, person: Person
) -> None:
    await make_stale(second, person)
    refused = await client.post("/users/me/factors/totp", json={}, headers=person.headers)
    assert refused.status_code == 403
    assert refused.json()["code"] == "step_up_required"
    assert refused.json()["methods"] == ["password"]
    assert refused.json()["max_age"] == 600
    assert "insufficient_user_authentication" in refused.headers["WWW-Authenticate"]
    wrong = await client.post(
        "/auth/step-up", json={"method": "password", "password": "x"}, headers=person.headers
    )
    assert wrong.json()["code"] == "wrong_password"
    done = await client.post(
        "/auth/step-up", json={"method": "password", "password": PASSWORD}, headers=person.headers
    )
    assert done.status_code == 204
    await add_app(client, person)


async def test_the_password_alone_is_no_step_up_with_a_factor(
    client: AsyncClient, second: asyncpg.Connection, person: Person, phone: App
) -> None:
    await make_stale(second, person)
    proof: dict[str, str] = {"method": "password", "password": PASSWORD}
    refused = await client.post("/auth/step-up", json=proof, headers=person.headers)
    assert refused.json()["code"] == "method_not_accepted"
    proof = {"method": "totp", "code": phone.code()}
    done = await client.post("/auth/step-up", json=proof, headers=person.headers)
    assert done.status_code == 204
    await client.post("/users/me/recovery-codes", headers=person.headers)


async def test_a_required_factor_is_added_during_the_sign_in(
    client: AsyncClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await people.enter()
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    refreshed = await client.post(
        "/auth/refresh", json={"refresh_token": person.tokens["refresh_token"]}
    )
    assert (refreshed.status_code, refreshed.json()["code"]) == (403, "mfa_required")
    assert "challenge" not in refreshed.json(), "a token is no password"
    pending = await begin(client, person)
    assert pending["methods"] == []
    body = {"challenge": pending["challenge"]}
    added = await client.post("/auth/mfa/totp", json=body)
    app = App.of(added.json())
    assert (await complete(client, pending["challenge"], "000000")).json()["code"] == "wrong_code"
    signed_in = with_tokens(person, await complete(client, pending["challenge"], app.code()))
    assert (await client.get("/users/me", headers=signed_in.headers)).status_code == 200
    tokens = await client.post(
        "/auth/refresh", json={"refresh_token": signed_in.tokens["refresh_token"]}
    )
    assert tokens.status_code == 200
    removed = await client.delete(f"/users/me/factors/{app.factor_id}", headers=signed_in.headers)
    assert removed.json()["code"] == "factor_required"


async def test_a_challenge_adds_no_factor_to_an_account_that_has_one(
    client: AsyncClient, person: Person, phone: App
) -> None:
    pending = await begin(client, person)
    added = await client.post("/auth/mfa/totp", json={"challenge": pending["challenge"]})
    assert added.json()["code"] == "method_not_accepted"


async def test_mfa_required_superusers_applies_to_superusers_only(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MFA_REQUIRED", "superusers")
    assert (await people.try_to_sign_in(await people.add())).status_code == 200
    superuser = await people.add(is_superuser=True)
    assert (await people.try_to_sign_in(superuser)).json()["code"] == "mfa_required"


async def test_the_database_refuses_a_session_without_the_factor(
    second: asyncpg.Connection, person: Person, phone: App
) -> None:
    """As code of version 2.0 would insert it during a rolling deployment."""
    with pytest.raises(asyncpg.SerializationError, match="second factor"):
        await second.execute(
            "INSERT INTO sessions (user_id, token_hash, expires_at, ends_at)"
            " VALUES ($1, $2, now() + interval '1 day', now() + interval '1 day')",
            person.id,
            bytes(32),
        )


async def test_totp_works_after_rotation_of_secret_key(
    client: AsyncClient, person: Person, phone: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", [settings.SECRET_KEY])
    monkeypatch.setattr(settings, "SECRET_KEY", "another-secret-key-of-at-least-32-bytes-xyz")
    pending = await begin(client, person)
    assert (await complete(client, pending["challenge"], phone.code())).status_code == 200


@pytest.mark.parametrize(
    "change", [{"password": "Another-Horse-8"}, {"email": "other@example.com"}]
)
async def test_stale_session_with_a_factor_cannot_change_credentials(
    client: AsyncClient,
    second: asyncpg.Connection,
    person: Person,
    phone: App,
    change: dict[str, str],
) -> None:
    await make_stale(second, person)
    body = {**change, "current_password": PASSWORD}
    refused = await client.patch("/users/me", json=body, headers=person.headers)
    assert refused.json()["code"] == "step_up_required"
    named = await client.patch("/users/me", json={"full_name": "A"}, headers=person.headers)
    assert named.status_code == 200
    proof = {"method": "totp", "code": phone.code()}
    await client.post("/auth/step-up", json=proof, headers=person.headers)
    changed = await client.patch("/users/me", json=body, headers=person.headers)
    assert changed.status_code == 200
