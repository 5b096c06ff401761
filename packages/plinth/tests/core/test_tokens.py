import time
from dataclasses import replace
from uuid import UUID

import pytest
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.errors import Unauthenticated
from plinth.security import keys, tokens
from plinth.security.tokens import AccessToken, issue_access_token, read_access_token
from plinth.testing.people import People
from tests.support.forging import Forge, to_json
from tests.support.hostile_tokens import SPACE_AROUND, hostile_tokens

USER, SESSION = 17, UUID("0195f3a2-7c41-4d8e-9b60-3e5a1c2f4b7d")
HOSTILE = hostile_tokens(USER, SESSION)


def test_corpus_has_at_least_79_tokens() -> None:
    assert len(HOSTILE) >= 79


def test_token_round_trip() -> None:
    now = int(time.time())
    token = read_access_token(issue_access_token(USER, SESSION))
    assert token == AccessToken(USER, SESSION, token.expires_at)
    assert 0 <= token.expires_at - now - settings.ACCESS_TOKEN_EXPIRE_MINUTES * 60 <= 1


def test_forge_builds_valid_tokens() -> None:
    """The forge can build valid tokens, so only the flaw is the reason for a refusal."""
    forge = Forge(USER, SESSION)
    for made in (
        forge.with_header(),
        forge.with_claims(),
        forge.raw_claims(b" " + to_json(forge.claims) + b"\n"),
        forge.with_claims(more="than we write"),
        forge.with_claims(nbf=int(time.time()) - 1),
        forge.with_claims(sub=str(2**63 - 1)),
        forge.with_claims(iat=int(time.time()) + 30),
    ):
        assert read_access_token(made).session_id == SESSION


def test_claims_have_no_role_and_no_personal_data() -> None:
    assert set(Forge(USER, SESSION).claims) == {"iss", "aud", "sub", "sid", "jti", "iat", "exp"}


def test_tokens_are_unique() -> None:
    assert issue_access_token(USER, SESSION) != issue_access_token(USER, SESSION)


@pytest.mark.parametrize("flaw", HOSTILE)
def test_hostile_token_is_refused(flaw: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        read_access_token(HOSTILE[flaw])
    assert (refused.value.detail, refused.value.__cause__) == (Unauthenticated.detail, None)


def test_a_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    token = issue_access_token(USER, SESSION)
    expires = read_access_token(token).expires_at
    monkeypatch.setattr(time, "time", lambda: expires - 0.5)
    read_access_token(token)
    monkeypatch.setattr(time, "time", lambda: float(expires))
    with pytest.raises(Unauthenticated):
        read_access_token(token)


async def test_hostile_token_is_401_over_http(client: AsyncClient, people: People) -> None:
    """Each token is for a live session of an active user."""
    person = await people.enter()
    session_id = read_access_token(person.tokens["access_token"]).session_id
    hostile = hostile_tokens(person.id, session_id)
    hostile["refresh token"] = person.tokens["refresh_token"]
    hostile["session id"] = str(session_id)
    wrong = {}
    for flaw, token in hostile.items():
        answer = await send(client, f"Bearer {token}")
        if len(token) > settings.MAX_HEADER_SIZE:
            assert answer.status_code == 431
            continue
        told = answer.headers.get("WWW-Authenticate"), answer.json().get("code")
        if (answer.status_code, *told) != (401, "Bearer", "unauthenticated"):
            wrong[flaw] = answer.text
    assert set(wrong) <= SPACE_AROUND, wrong
    assert (await send(client, f"Bearer {person.tokens['access_token']}")).status_code == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "{}", "Basic {}", "Token {}", "Bearer: {}", "Bearer,{}"]
)
async def test_token_without_the_bearer_scheme_is_401(
    client: AsyncClient, people: People, header: str
) -> None:
    person = await people.enter()
    answer = await send(client, header.format(person.tokens["access_token"]))
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_token_must_match_user_and_session(client: AsyncClient, people: People) -> None:
    one, other = await people.enter(), await people.enter()
    session_of_other = read_access_token(other.tokens["access_token"]).session_id
    answer = await send(client, f"Bearer {issue_access_token(one.id, session_of_other)}")
    assert answer.status_code == 401
    answer = await send(client, f"Bearer {issue_access_token(one.id, UUID(int=7))}")
    assert answer.status_code == 401


async def send(client: AsyncClient, authorization: str) -> Response:
    raw = authorization.encode("utf-8", "surrogatepass")
    return await client.get("/users/me", headers={b"Authorization": raw})


def test_verified_token_is_cached_until_it_or_its_key_expires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = issue_access_token(USER, SESSION)
    first = read_access_token(text)
    verified: list[bytes] = []
    verifies = keys.Key.verifies

    def note(key: keys.Key, message: bytes, signature: bytes) -> bool:
        verified.append(message)
        return verifies(key, message, signature)

    monkeypatch.setattr(keys.Key, "verifies", note)
    assert read_access_token(text) is first
    assert not verified

    with pytest.raises(Unauthenticated):
        read_access_token(text[:-1] + ("A" if text[-1] != "A" else "E"))
    key = keys.ring.signing_key
    with monkeypatch.context() as patch:
        patch.setattr(keys.ring, "find", lambda _: None)  # it was taken out of the ring
        with pytest.raises(Unauthenticated):
            read_access_token(text)
    with monkeypatch.context() as patch:
        patch.setattr(keys.ring, "find", lambda _: replace(key))  # another of the same name
        verified.clear()
        assert read_access_token(text) == first
        assert verified
    monkeypatch.setattr(time, "time", lambda: first.expires_at + 0.5)
    with pytest.raises(Unauthenticated):
        read_access_token(text)


def test_token_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_CACHED_TOKENS", 3)
    monkeypatch.setattr(tokens, "_cached", {})
    texts = [issue_access_token(USER, SESSION) for _ in range(5)]
    for text in texts:
        read_access_token(text)
    assert list(tokens._cached) == texts[2:]  # noqa: SLF001
