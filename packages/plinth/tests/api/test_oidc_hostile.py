"""Responses of a hostile identity provider: each is refused, with its own audit reason."""

import asyncio
import hmac
import json
import warnings
from collections.abc import Awaitable, Callable
from secrets import token_urlsafe
from time import time
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from plinth.accounts.providers import discovery, http
from plinth.config import settings
from tests.support.oidc_browser import Browser, get_me, read_target
from tests.support.oidc_provider import CLIENT_ID, KEYS, REMOVED, FakeProvider, encode, sign

DISCOVERY, TOKEN, JWKS = "/.well-known/openid-configuration", "/token", "/jwks"


async def find_reasons(second: asyncpg.Connection) -> list[str]:
    rows = await second.fetch("SELECT reason FROM events WHERE event = 'identity.refused'")
    return [row["reason"].partition(": ")[2] for row in rows]


async def check_refused(browser: Browser, second: asyncpg.Connection, reason: str) -> None:
    assert await browser.get_result() == {"error": "provider_refused"}
    assert await find_reasons(second) == [reason]
    assert await second.fetchval("SELECT count(*) FROM users") == 0


CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"iss": "https://evil.example"}, "wrong issuer"),
    "no issuer": ({"iss": REMOVED}, "wrong issuer"),
    "issuer with a slash": ({"iss": "+/"}, "wrong issuer"),
    "issuers as a list": ({"iss": ["https://evil.example"]}, "wrong issuer"),
    "another audience": ({"aud": "someone-else"}, "wrong audience"),
    "no audience": ({"aud": REMOVED}, "wrong audience"),
    "other audiences": ({"aud": ["a", "b"]}, "wrong audience"),
    "several audiences without azp": ({"aud": [CLIENT_ID, "b"]}, "wrong authorized party"),
    "another azp": ({"azp": "someone-else"}, "wrong authorized party"),
    "another nonce": ({"nonce": token_urlsafe(32)}, "wrong nonce"),
    "no nonce": ({"nonce": REMOVED}, "wrong nonce"),
    "nonce as a number": ({"nonce": 1}, "wrong nonce"),
    "expired": ({"exp": int(time()) - 61}, "expired"),
    "no expiry": ({"exp": REMOVED}, "no valid times"),
    "expiry as text": ({"exp": "4000000000"}, "no valid times"),
    "expiry as a flag": ({"exp": True}, "no valid times"),
    "from the future": ({"iat": int(time()) + 3600}, "from the future"),
    "not valid yet": ({"nbf": int(time()) + 3600}, "from the future"),
    "issued long ago": ({"iat": int(time()) - 3600}, "issued too long ago"),
    "no subject": ({"sub": REMOVED}, "no valid subject"),
    "empty subject": ({"sub": ""}, "no valid subject"),
    "long subject": ({"sub": "a" * 256}, "no valid subject"),
    "subject as a number": ({"sub": 1}, "no valid subject"),
    "subject that is not ASCII": ({"sub": "\u0430nn-1"}, "no valid subject"),
    "subject with NUL": ({"sub": "ann\x00"}, "no valid subject"),
}


@pytest.mark.parametrize("name", CLAIMS)
async def test_a_token_with_wrong_claims(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection, name: str
) -> None:
    claims, reason = CLAIMS[name]
    provider.claims = {key: f"{provider.url}/" if it == "+/" else it for key, it in claims.items()}
    await check_refused(browser, second, f"ID token: {reason}")


async def test_several_audiences_with_our_azp(browser: Browser, provider: FakeProvider) -> None:
    provider.claims = {"aud": [CLIENT_ID, "b"], "azp": CLIENT_ID, "exp": int(time()) - 30}
    assert (await browser.sign_in()).status_code == 200


Signer = Callable[[FakeProvider, dict[str, Any], dict[str, Any]], str]


def unsigned(_: FakeProvider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    head = encode(json.dumps({**header, "alg": "none"}).encode())
    return f"{head}.{encode(json.dumps(claims).encode())}."


def without_algorithm(_: FakeProvider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    return unsigned(_, header, claims) + encode(b"x")


def by_public_key(provider: FakeProvider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """The attack "algorithm confusion": the public key as the secret of an HMAC."""
    pem = provider.key.as_pem(private=False)
    head = encode(json.dumps({**header, "alg": "HS256"}).encode())
    signed = f"{head}.{encode(json.dumps(claims).encode())}"
    return f"{signed}.{encode(hmac.digest(pem, signed.encode(), 'sha256'))}"


def by_client_secret(provider: FakeProvider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    key = OctKey.import_key(str(provider.settings["client_secret"]).ljust(32))
    return sign({**header, "alg": "HS256"}, claims, key)


def by_another_key(_: FakeProvider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    return sign(header, claims, KEYS[1])


def by_embedded_key(_: FakeProvider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    return sign({**header, "jwk": KEYS[1].as_dict(private=False)}, claims, KEYS[1])


def by_another_type(_: FakeProvider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    return sign({**header, "alg": "ES256"}, claims, ECKey.generate_key("P-256"))


def critical(provider: FakeProvider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    return sign({**header, "crit": ["exp"], "exp": 1}, claims, provider.key)


def changed(provider: FakeProvider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    head, _, mac = provider.sign_rightly(header, {**claims, "sub": "mallory"}).split(".")
    return f"{head}.{encode(json.dumps(claims).encode())}.{mac}"


def doubled(provider: FakeProvider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    text = json.dumps(claims).removesuffix("}") + ', "sub": "mallory"}'
    head, body = encode(json.dumps(header).encode()), encode(text.encode())
    mac = JWSRegistry.algorithms["RS256"].sign(f"{head}.{body}".encode(), provider.key)
    return f"{head}.{body}.{encode(mac)}"


def too_long(provider: FakeProvider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    return provider.sign_rightly(header, {**claims, "x": "a" * 16384})


def nested(_: FakeProvider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{encode(b'[' * 6000)}.{encode(b'{}')}.x"


SIGNERS: list[tuple[Signer, str]] = [
    (unsigned, "ID token: not a signed JWT"),
    (without_algorithm, "ID token: algorithm not allowed"),
    (by_public_key, "ID token: algorithm not allowed"),
    (by_client_secret, "ID token: algorithm not allowed"),
    (by_another_key, "ID token: wrong signature"),
    (by_embedded_key, "ID token: wrong signature"),
    (by_another_type, "ID token: unknown key"),
    (critical, "ID token: header not allowed"),
    (changed, "ID token: wrong signature"),
    (doubled, "ID token: not a signed JWT"),
    (too_long, "ID token: missing or too long"),
    (nested, "ID token: not a signed JWT"),
]


@pytest.mark.parametrize(("signer", "reason"), SIGNERS, ids=lambda it: getattr(it, "__name__", ""))
async def test_a_token_with_a_wrong_signature(
    browser: Browser,
    provider: FakeProvider,
    second: asyncpg.Connection,
    signer: Signer,
    reason: str,
) -> None:
    provider.sign = lambda header, claims: signer(provider, header, claims)
    await check_refused(browser, second, reason)


async def test_keys_are_rotated(browser: Browser, provider: FakeProvider) -> None:
    assert (await browser.sign_in()).status_code == 200
    provider.key, provider.kid = KEYS[1], "key-2"
    assert (await browser.sign_in()).status_code == 200
    assert provider.requests[JWKS] <= 2


async def test_unknown_keys_do_not_flood_the_provider(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    await browser.sign_in()
    provider.requests.clear()
    for _ in range(5):
        provider.sign = lambda header, claims: sign(
            {**header, "kid": token_urlsafe(8)}, claims, KEYS[1]
        )
        assert await browser.get_result() == {"error": "provider_refused"}
    assert provider.requests[JWKS] <= 1
    assert await find_reasons(second) == ["ID token: unknown key"] * 5
    provider.sign = provider.sign_rightly
    assert (await browser.sign_in()).status_code == 200, "the known keys are still known"


async def test_weak_keys_are_not_used(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    def sign_weakly(header: dict[str, Any], claims: dict[str, Any]) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sign(header, claims, weak)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weak = RSAKey.generate_key(1024)
    provider.keys = [{**weak.as_dict(private=False), "kid": provider.kid}]
    provider.sign = sign_weakly
    await check_refused(browser, second, "ID token: unknown key")


async def test_keys_for_encryption_are_not_used(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    provider.keys = [{**provider.key.as_dict(private=False), "kid": provider.kid, "use": "enc"}]
    await check_refused(browser, second, "ID token: unknown key")


async def test_keys_of_another_algorithm_are_not_used(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    own = provider.key.as_dict(private=False)
    provider.keys = [{**own, "kid": provider.kid, "alg": "PS256"}]
    await check_refused(browser, second, "ID token: unknown key")


async def test_a_token_without_a_key_id(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    """It is enough if the provider has a single key that fits."""
    provider.sign = lambda header, claims: sign({"alg": header["alg"]}, claims, provider.key)
    assert (await browser.sign_in()).status_code == 200
    keys = [{**it.as_dict(private=False), "kid": str(it)} for it in KEYS]
    provider.keys = keys
    discovery.documents_of(settings.OIDC_PROVIDERS["fake"])._keys_at = None  # noqa: SLF001
    assert await browser.get_result() == {"error": "provider_refused"}
    assert await find_reasons(second) == ["ID token: unknown key"]


async def test_a_large_response(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    async def answer_much(_: Request) -> Response:
        return JSONResponse({"id_token": "", "x": "a" * http.MAX_RESPONSE_BYTES})

    provider.answers[TOKEN] = answer_much
    await check_refused(browser, second, "response of the provider is too large")


async def test_a_redirect_is_not_followed(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    async def send_elsewhere(_: Request) -> Response:
        return RedirectResponse(f"{provider.url}/elsewhere")

    provider.answers[JWKS] = send_elsewhere
    await check_refused(browser, second, "response of the provider is a redirect")
    assert provider.requests["/elsewhere"] == 0


async def test_an_unverified_address_does_not_count(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    for stated in (False, "true", 1, None, REMOVED):
        await second.execute("DELETE FROM users")
        provider.claims = {"email_verified": stated}
        me = await get_me(browser.client, await browser.sign_in())
        assert not me["is_verified"]


async def test_a_used_code_of_the_provider(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    response = await browser.authorize()
    assert "code" in read_target(await browser.call_back(response))
    again = await browser.authorize()
    replayed = await browser.call_back({**again, "code": response["code"]})
    assert read_target(replayed) == {"error": "provider_refused"}
    assert await find_reasons(second) == ["response of the provider has the status 400"]


async def test_a_code_of_another_sign_in(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    """The code of an attacker's sign-in does not fit the victim's verifier (PKCE)."""
    attacker = await browser.authorize()
    victim = await browser.authorize()
    injected = await browser.call_back({**victim, "code": attacker["code"]})
    assert read_target(injected) == {"error": "provider_refused"}
    assert await find_reasons(second) == ["response of the provider has the status 400"]


async def test_a_response_of_another_provider(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    refused = await browser.call_back(await browser.authorize(), name="other")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_state")
    assert await find_reasons(second) == ["state of another provider"]


@pytest.mark.parametrize(
    ("announced", "sent", "reason"),
    [
        (True, None, "response without iss"),
        (True, "https://evil.example", "response of another issuer"),
        (False, "https://evil.example", "response of another issuer"),
        (True, "right", None),
    ],
)
async def test_the_issuer_of_a_response(
    browser: Browser,
    provider: FakeProvider,
    second: asyncpg.Connection,
    announced: bool,
    sent: str | None,
    reason: str | None,
) -> None:
    provider.metadata["authorization_response_iss_parameter_supported"] = announced
    response = await browser.authorize()
    if sent:
        response["iss"] = provider.url if sent == "right" else sent
    result = read_target(await browser.call_back(response))
    assert ("error" in result) is bool(reason)
    assert await find_reasons(second) == ([reason] if reason else [])
    assert bool(provider.requests[TOKEN]) is not bool(reason), "the code stays with its provider"


METADATA: dict[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://evil.example"},
    "no token endpoint": {"token_endpoint": REMOVED},
    "a token endpoint without https": {"token_endpoint": "http://10.0.0.1/token"},
    "keys in a file": {"jwks_uri": "file:///etc/passwd"},
    "an authorization endpoint of a script": {"authorization_endpoint": "javascript:alert(1)"},
    "an endpoint that is a number": {"userinfo_endpoint": 1},
    "methods that are no list": {"token_endpoint_auth_methods_supported": "client_secret_basic"},
}


@pytest.mark.parametrize("name", METADATA)
async def test_a_wrong_discovery_document(
    browser: Browser, provider: FakeProvider, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider.metadata = METADATA[name]
    refused = await browser.start()
    assert (refused.status_code, refused.json()["code"]) == (400, "provider_refused")
    assert "no sign-in can start: discovery document: " in caplog.text, "the log has the reason"
    if name == "another issuer":
        assert f"the issuer is 'https://evil.example', not '{provider.url}'" in caplog.text


async def huge(_: Request) -> Response:
    async def chunks() -> Any:
        for _ in range(10_000):
            yield b" " * 65536

    return StreamingResponse(chunks())


async def compressed(_: Request) -> Response:
    return Response(b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"})


async def redirect(_: Request) -> Response:
    return RedirectResponse("http://127.0.0.1:1/internal")


async def failing(_: Request) -> Response:
    return Response(status_code=502)


async def no_json(_: Request) -> Response:
    return Response("<html>")


async def nested_json(_: Request) -> Response:
    return Response("[" * 100_000)


async def a_list(_: Request) -> Response:
    return JSONResponse([1])


async def slow(_: Request) -> Response:
    await asyncio.sleep(60)
    return Response()


ANSWERS: list[tuple[Callable[[Request], Awaitable[Response]], str]] = [
    (huge, "response of the provider is too large"),
    (compressed, "response of the provider is encoded"),
    (redirect, "response of the provider is a redirect"),
    (failing, "provider unavailable"),
    (no_json, "response of the provider is not JSON"),
    (nested_json, "response of the provider is not JSON"),
    (slow, "provider unavailable"),
]


@pytest.mark.parametrize("path", [DISCOVERY, JWKS, TOKEN, "/userinfo"])
@pytest.mark.parametrize(("answer", "reason"), ANSWERS, ids=lambda it: getattr(it, "__name__", ""))
async def test_a_hostile_response(
    browser: Browser,
    provider: FakeProvider,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    answer: Callable[[Request], Awaitable[Response]],
    reason: str,
) -> None:
    if path == "/userinfo":
        provider.user = {"sub": "ann-1"}
    response = await browser.authorize()
    monkeypatch.setattr(discovery, "_documents", {})
    if answer is slow:
        monkeypatch.setattr(http, "REQUEST_SECONDS", 0.5)
    provider.answers[path] = answer
    code = "provider_unavailable" if reason == "provider unavailable" else "provider_refused"
    assert read_target(await browser.call_back(response)) == {"error": code}
    assert await find_reasons(second) == [reason]


@pytest.mark.parametrize("path", [JWKS, TOKEN, "/userinfo"])
async def test_a_document_of_another_type(
    browser: Browser, provider: FakeProvider, path: str
) -> None:
    provider.user = {"sub": "ann-1"}
    provider.answers[path] = a_list
    if path == JWKS:
        provider.kid = token_urlsafe(8)
    assert await browser.get_result() == {"error": "provider_refused"}


async def test_userinfo_of_another_subject(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    provider.user = {"sub": "mallory"}
    provider.userinfo = {"sub": "ann-1", "email": "ann@example.com", "email_verified": True}
    await check_refused(browser, second, "userinfo of another subject")


async def test_a_verified_flag_is_about_the_address_beside_it(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.user = {"sub": "ann-1", "email_verified": True}
    provider.userinfo = {"email": "victim@example.com"}
    me = await get_me(browser.client, await browser.sign_in())
    assert (me["email"], me["is_verified"]) == ("victim@example.com", False)


@pytest.mark.parametrize(
    ("error", "result", "reason"),
    [
        ("access_denied", "access_denied", "the user canceled the sign-in"),
        ("temporarily_unavailable", "provider_unavailable", "provider unavailable"),
        ("invalid_scope", "provider_refused", "response with the error invalid_scope"),
        ("<script>", "provider_refused", "response with the error unknown"),
        ("", "provider_refused", "response with the error unknown"),
    ],
)
async def test_an_error_of_the_provider(
    browser: Browser, second: asyncpg.Connection, error: str, result: str, reason: str
) -> None:
    response = await browser.authorize()
    returned = await browser.call_back({"state": response["state"], "error": error})
    assert read_target(returned) == {"error": result}
    assert await find_reasons(second) == [reason]


async def test_github_without_an_account_or_an_address(
    client: AsyncClient, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    browser = Browser(client, provider, "github")
    for number in ("583231", None, True, -1, 1.5):
        provider.github_user["id"] = number
        assert await browser.get_result() == {"error": "provider_refused"}
    assert set(await find_reasons(second)) == {"account of GitHub without a numeric id"}
    provider.github_user["id"] = 583231
    provider.github_emails = [{"email": "octo@example.com", "primary": False, "verified": True}]
    assert (await browser.sign_in()).json()["code"] == "email_missing"
    provider.github_emails = {"message": "Not Found"}
    assert (await browser.sign_in()).json()["code"] == "email_missing"


async def test_a_used_code_of_github(client: AsyncClient, provider: FakeProvider) -> None:
    browser = Browser(client, provider, "github")
    response = await browser.authorize()
    await browser.call_back(response)
    again = await browser.authorize()
    replayed = await browser.call_back({**again, "code": response["code"]})
    assert read_target(replayed) == {"error": "provider_refused"}


TENANT, STRANGER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


@pytest.mark.parametrize(
    ("issuer", "tid", "reason"),
    [
        (TENANT, TENANT, None),
        (STRANGER, STRANGER, "ID token: wrong issuer"),
        (TENANT, STRANGER, "ID token: wrong tenant"),
        (TENANT, REMOVED, "ID token: wrong tenant"),
        ("{tenantid}", TENANT, "ID token: wrong issuer"),
    ],
)
async def test_the_tenant_of_microsoft(
    browser: Browser,
    provider: FakeProvider,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    issuer: str,
    tid: Any,
    reason: str | None,
) -> None:
    template = f"{provider.url}/{{tenantid}}/v2.0"
    microsoft = provider.configure(issuer=template, tenants=[TENANT])
    monkeypatch.setattr(settings, "OIDC_PROVIDERS", {"fake": microsoft})
    provider.metadata = {"issuer": template}
    provider.answers["/common/v2.0/.well-known/openid-configuration"] = provider.discover
    provider.claims = {"iss": template.replace("{tenantid}", issuer), "tid": tid}
    if reason:
        await check_refused(browser, second, reason)
    else:
        assert (await browser.sign_in()).status_code == 200
