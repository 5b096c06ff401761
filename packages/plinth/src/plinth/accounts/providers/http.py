"""Requests to identity providers, with bounds on time, size and number."""

import asyncio
import json
import logging
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from plinth.accounts.providers.errors import ProviderRefused, ProviderUnavailable
from plinth.config import settings
from plinth.config.providers import Provider, is_encrypted

if TYPE_CHECKING:
    from httpx2 import Response

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 5.0
EXCHANGE_SECONDS = 10.0  # of all requests of one sign-in
MAX_RESPONSE_BYTES = 256 * 1024
MAX_CONCURRENT = 20  # sign-ins of one process that wait for one provider
OK = 200
SERVER_ERRORS = range(500, 600)
TOO_MANY_REQUESTS = 429

_waiting: Counter[str] = Counter()


@asynccontextmanager
async def bounded(provider: Provider) -> AsyncIterator[None]:
    """Bound the time and the number of exchanges with a provider.

    A provider that does not respond must not use up the places of other sign-ins.

    Raises:
        ProviderUnavailable
    """
    if _waiting[provider.issuer] >= MAX_CONCURRENT:
        raise ProviderUnavailable
    _waiting[provider.issuer] += 1
    try:
        async with asyncio.timeout(EXCHANGE_SECONDS):
            yield
    except TimeoutError:
        logger.warning("%s did not respond within %s s", provider.issuer, EXCHANGE_SECONDS)
        raise ProviderUnavailable from None
    finally:
        _waiting[provider.issuer] -= 1


async def request_json(
    method: str,
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Return the JSON of a response with the status 200. Redirects are not followed.

    Raises:
        ProviderRefused
        ProviderUnavailable
    """
    if not is_encrypted(url, is_development=settings.is_development):
        raise ProviderRefused("URL of the provider without https")
    from httpx2 import AsyncClient, HTTPError, InvalidURL  # noqa: PLC0415 - costs 0.07 s

    # An encoded response could be small on the wire and large in memory.
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "plinth",
        **(headers or {}),
    }
    try:
        async with (
            asyncio.timeout(REQUEST_SECONDS),
            AsyncClient(verify=_tls(), timeout=REQUEST_SECONDS, follow_redirects=False) as client,
            client.stream(method, url, data=form, headers=headers) as response,
        ):
            return _parse(response, await _read(response))
    except InvalidURL:
        raise ProviderRefused("URL of the provider is not valid") from None
    except (HTTPError, OSError) as error:  # TimeoutError is an OSError
        logger.warning("%s cannot be reached (%s)", url, type(error).__name__)
        raise ProviderUnavailable from None


async def _read(response: "Response") -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ProviderRefused("response of the provider is encoded")
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise ProviderRefused("response of the provider is too large")
    return body


def _parse(response: "Response", body: bytes) -> Any:
    status = response.status_code
    if status in SERVER_ERRORS or status == TOO_MANY_REQUESTS:
        logger.warning("%s returned %s", response.url.copy_with(query=None), status)
        raise ProviderUnavailable
    if response.is_redirect:
        raise ProviderRefused("response of the provider is a redirect")
    if status != OK:
        raise ProviderRefused(f"response of the provider has the status {status}")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ProviderRefused("response of the provider is not JSON") from None


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # the certificates of the system; loading takes 20 ms
