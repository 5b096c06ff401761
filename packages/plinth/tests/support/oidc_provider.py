"""An identity provider on loopback that can be made to lie."""

import asyncio
import json
import socket
from base64 import b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from secrets import token_urlsafe
from threading import Thread
from time import sleep, time
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

import uvicorn
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from plinth.accounts.providers import make_challenge
from plinth.config.providers import Provider

CLIENT_ID, CLIENT_SECRET = "plinth-test", "s3cret/+ %"
REMOVED = object()
KEYS = [RSAKey.generate_key(2048) for _ in range(2)]
Answer = Callable[[Request], Awaitable[Response]]
Signer = Callable[[dict[str, Any], dict[str, Any]], str]


def encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(
    header: dict[str, Any], claims: dict[str, Any], key: RSAKey | ECKey | OctKey | OKPKey
) -> str:
    signed = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
    mac = JWSRegistry.algorithms[header["alg"]].sign(signed.encode(), key)
    return f"{signed}.{encode(mac)}"


class FakeProvider:
    """
    Attributes:
        claims: of the ID token, in place of the right ones; `REMOVED` leaves one out.
        userinfo: the response of the userinfo endpoint.
        metadata: members of the discovery document, in place of the right ones.
        answers: the response of a path, in place of the right one.
        sign: makes the ID token.
        requests: the number of requests by path.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.reset()

    def reset(self) -> None:
        self.claims: dict[str, Any] = {}
        self.user: dict[str, Any] = {"sub": "ann-1", "email": "ann@example.com"}
        self.user |= {"email_verified": True, "name": "Ann", "preferred_username": "ann"}
        self.userinfo: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.answers: dict[str, Answer] = {}
        self.key, self.kid = KEYS[0], "key-1"
        self.keys: list[dict[str, Any]] | None = None
        self.sign: Signer = self.sign_rightly
        self.requests: Counter[str] = Counter()
        self.github_user: dict[str, Any] = {"id": 583231, "login": "octocat", "name": "Octo"}
        self.github_emails: Any = [
            {"email": "other@example.com", "primary": False, "verified": True},
            {"email": "octo@example.com", "primary": True, "verified": True},
        ]
        self._codes: dict[str, dict[str, str]] = {}
        self._tokens: set[str] = set()

    @property
    def settings(self) -> dict[str, Any]:
        return {"issuer": self.url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}

    def configure(self, **more: Any) -> Provider:
        return Provider(**(self.settings | more))

    def authorize(self, url: str) -> dict[str, str]:
        """Sign in the user who opens the URL, and return the parameters of the response."""
        query = dict(parse_qsl(urlsplit(url).query))
        assert (query["response_type"], query["client_id"]) == ("code", CLIENT_ID)
        assert query["code_challenge_method"] == "S256"
        code = token_urlsafe(16)
        self._codes[code] = query
        return {"state": query["state"], "code": code}

    def sign_rightly(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        return sign(header, claims, self.key)

    async def answer(self, request: Request) -> Response:
        path = request.url.path
        self.requests[path] += 1
        if own := self.answers.get(path):
            return await own(request)
        answer: Answer | None = {
            "/.well-known/openid-configuration": self.discover,
            "/jwks": self._list_keys,
            "/token": self._redeem,
            "/userinfo": self._describe,
            "/login/oauth/access_token": self._redeem_at_github,
            "/api/v3/user": self._describe_github_user,
            "/api/v3/user/emails": self._list_github_emails,
        }.get(path)
        return await answer(request) if answer else Response(status_code=404)

    async def discover(self, _: Request) -> Response:
        document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
        } | self.metadata
        return JSONResponse({name: it for name, it in document.items() if it is not REMOVED})

    async def _list_keys(self, _: Request) -> Response:
        own = {**self.key.as_dict(private=False), "kid": self.kid, "use": "sig"}
        unknown = {"kty": "unknown", "kid": "x"}
        return JSONResponse({"keys": [unknown, own] if self.keys is None else self.keys})

    async def _redeem(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        if not self._is_client(request, form):
            return JSONResponse({"error": "invalid_client"}, 401)
        if (asked := self._use_code(form)) is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "iat": int(time()),
            "exp": int(time()) + 300,
            "nonce": asked["nonce"],
            "auth_time": int(time()),
            **self.user,
            **self.claims,
        }
        claims = {name: it for name, it in claims.items() if it is not REMOVED}
        token = self.sign({"alg": "RS256", "kid": self.kid}, claims)
        return JSONResponse({"id_token": token, "access_token": self._issue(), "token_type": "x"})

    def _is_client(self, request: Request, form: dict[str, list[str]]) -> bool:
        basic = request.headers.get("authorization", "").removeprefix("Basic ")
        pair = b64decode(basic).decode().partition(":")
        sent = (unquote_plus(pair[0]), unquote_plus(pair[2]))
        if not basic:
            sent = (form["client_id"][0], form.get("client_secret", [""])[0])
        return sent == (CLIENT_ID, CLIENT_SECRET)

    def _use_code(self, form: dict[str, list[str]]) -> dict[str, str] | None:
        asked = self._codes.pop(form["code"][0], None)
        if asked is None or form["redirect_uri"][0] != asked["redirect_uri"]:
            return None
        is_proven = make_challenge(form["code_verifier"][0]) == asked["code_challenge"]
        return asked if is_proven else None

    def _issue(self) -> str:
        token = token_urlsafe(16)
        self._tokens.add(f"Bearer {token}")
        return token

    async def _describe(self, request: Request) -> Response:
        assert request.headers["authorization"] in self._tokens
        return JSONResponse({"sub": self.user["sub"], **self.userinfo})

    async def _redeem_at_github(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        assert form["client_secret"][0] == CLIENT_SECRET
        if self._use_code(form) is None:
            return JSONResponse({"error": "bad_verification_code"})  # with status 200
        return JSONResponse({"access_token": self._issue(), "token_type": "bearer"})

    async def _describe_github_user(self, request: Request) -> Response:
        assert request.headers["authorization"] in self._tokens
        return JSONResponse(self.github_user)

    async def _list_github_emails(self, request: Request) -> Response:
        assert request.headers["authorization"] in self._tokens
        return JSONResponse(self.github_emails)


@contextmanager
def serving_provider() -> Iterator[FakeProvider]:
    """Serve a provider on a free port, in a thread of its own."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        provider = FakeProvider(listening.getsockname()[1])
        app = Starlette(routes=[Route("/{path:path}", provider.answer, methods=["GET", "POST"])])
        config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = Thread(target=asyncio.run, args=(server.serve([listening]),))
        thread.start()
        while not server.started:
            sleep(0.01)
        try:
            yield provider
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def with_query(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}"
