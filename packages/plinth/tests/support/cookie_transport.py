"""A browser whose session is in cookies, for tests that send and read tokens.

Each request is sent as a page of the front end sends it with `AUTH_COOKIES=true`, and the tokens of
the `Set-Cookie` headers are put into the body of the response.
"""

import json
from http.cookies import SimpleCookie

from httpx2 import AsyncBaseTransport, Request, Response

from plinth.accounts.session_cookies import make_csrf_token
from plinth.config import settings
from plinth.security.tokens import read_access_token
from tests.support.cookies import IN_COOKIES, SAME_ORIGIN

ACCESS, REFRESH = "plinth_access", "plinth_refresh"
COOKIE_ROUTES = {"/auth/refresh": "/auth/cookies/refresh"}  # the others are the same


class CookieTransport(AsyncBaseTransport):
    def __init__(self, inner: AsyncBaseTransport) -> None:
        self.inner = inner

    async def handle_async_request(self, request: Request) -> Response:
        await request.aread()
        response = await self.inner.handle_async_request(self._encode(request))
        await response.aread()
        return self._decode(response)

    def _encode(self, request: Request) -> Request:
        headers = dict(request.headers) | SAME_ORIGIN | IN_COOKIES
        sent, url, body = [headers.pop("cookie", "")], request.url, request.content
        if token := headers.pop("authorization", "").removeprefix("Bearer "):
            sent.append(f"{ACCESS}={token}")
            # The page fetched it before the account changed.
            headers["x-csrf-token"] = make_csrf_token(read_access_token(token).session_id)
        if route := COOKIE_ROUTES.get(url.path.removeprefix(settings.API_V1_PREFIX)):
            sent.append(f"{REFRESH}={json.loads(body)['refresh_token']}")
            url, body = url.copy_with(path=f"{settings.API_V1_PREFIX}{route}"), b""
        headers.pop("content-length", None)
        if cookies := "; ".join(filter(None, sent)):
            headers["cookie"] = cookies
        return Request(request.method, url, headers=headers, content=body)

    def _decode(self, response: Response) -> Response:
        assert "access_token" not in response.text, "a token is in the body"
        lines = response.headers.get_list("set-cookie")
        cookies: SimpleCookie = SimpleCookie("; ".join(it.partition(";")[0] for it in lines))
        if ACCESS not in cookies:
            return response
        assert (response.status_code, response.content) == (204, b"")
        own = [it for it in lines if it.startswith((f"{ACCESS}=", f"{REFRESH}="))]
        assert all("; httponly" in it.lower() for it in own)
        headers = [("set-cookie", it) for it in lines if it not in own]
        tokens = {"access_token": cookies[ACCESS].value, "refresh_token": cookies[REFRESH].value}
        return Response(200, headers=headers, json=tokens)
