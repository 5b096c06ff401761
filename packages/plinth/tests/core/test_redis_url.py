"""REDIS_URL: each option is honored, or refused by name at start."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Connection, Redis, SSLConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from plinth.cache.connecting import connect, disconnect
from plinth.config.urls.redis_url import read_redis_url
from tests.support.certificates import Authority, Issued, make_authority
from tests.support.hosted import CHECKED, PLAIN, POSTGRES, REDIS, Hosted
from tests.support.tls_front import TlsFront, tls_front
from tests.support.valkey import OwnValkey, own_valkey

SECURE = [hosted for hosted in REDIS if hosted.tls != PLAIN]
NAMES = sorted({it.hosts.rpartition(":")[0] for it in SECURE if it.tls == CHECKED})


@dataclass(frozen=True, slots=True)
class SecureValkey:
    server: OwnValkey
    front: TlsFront
    authority: Authority
    client: Issued

    def fill(self, url: str) -> str:
        files = {"ca": self.authority.file, "crt": self.client.certificate, "key": self.client.key}
        return url.format(**files)

    async def create_account(self, user: str | None, password: str | None) -> None:
        rights = [f">{password}" if password else "nopass", "~*", "&*", "+@all"]
        async with Redis(
            unix_socket_path=str(self.server.socket), username="keeper", password="keeper"
        ) as admin:
            await admin.execute_command(  # type: ignore[no-untyped-call]
"ACL", "SETUSER", user or "default", "on", "resetpass",
                                        *rights)  # fmt: skip


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pv-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
async def secure(folder: Path) -> AsyncIterator[SecureValkey]:
    authority = make_authority(folder)
    issued = authority.issue("server", *NAMES)
    with (
        own_valkey(folder) as server,
        tls_front(str(server.socket), issued, authority) as front,
    ):
        async with Redis(unix_socket_path=str(server.socket)) as admin:
            await admin.execute_command(  # type: ignore[no-untyped-call]
                "ACL", "SETUSER", "keeper", "on", ">keeper", "~*", "&*", "+@all"
            )
        yield SecureValkey(server, front, authority, authority.issue("app"))


@pytest.fixture
def redirected(secure: SecureValkey, monkeypatch: pytest.MonkeyPatch) -> SecureValkey:
    """Redirect each connection to this server; it must still prove the name of the given host."""
    really = asyncio.open_connection

    async def open_redirected(*, host: str, port: int, **options: Any) -> Any:
        assert port
        options["server_hostname"] = host
        return await really(host="127.0.0.1", port=secure.front.direct_port, **options)

    monkeypatch.setattr("redis.asyncio.connection.asyncio.open_connection", open_redirected)
    monkeypatch.setenv("SSL_CERT_FILE", os.fspath(secure.authority.file))
    return secure


async def ping(url: str) -> None:
    client = connect(url, seconds=10, connections=1)
    try:
        await client.ping()
    finally:
        await disconnect(client)


@pytest.mark.parametrize("hosted", REDIS, ids=lambda it: it.service)
def test_url_of_a_hosted_service_is_parsed(hosted: Hosted, tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    issued = authority.issue("app")
    files = {"ca": authority.file, "crt": issued.certificate, "key": issued.key}
    url = read_redis_url(hosted.url.format(**files))
    options = url.options
    assert (options["username"], options["password"]) == (hosted.user, hosted.password)
    assert f"{options['host']}:{options['port']}" == hosted.hosts
    assert str(options["db"]) == hosted.database
    assert url.tls == (hosted.tls != PLAIN)
    if url.tls:
        assert (options.get("ssl_cert_reqs") != "none") == (hosted.tls == CHECKED)
    assert "pw" not in repr(url)


def test_corpus_has_50_urls() -> None:
    assert len({hosted.url for hosted in (*POSTGRES, *REDIS)}) >= 50


@pytest.mark.parametrize("hosted", SECURE, ids=lambda it: it.service)
async def test_hosted_url_connects_with_tls(hosted: Hosted, redirected: SecureValkey) -> None:
    await redirected.create_account(hosted.user, hosted.password)
    await ping(redirected.fill(hosted.url))
    _, client = redirected.front.seen[-1]
    assert client == ("app" if "ssl_certfile" in hosted.url else None)


@pytest.mark.parametrize(
    "hosted", [it for it in SECURE if it.tls == CHECKED], ids=lambda it: it.service
)
async def test_a_certificate_of_another_name_or_authority_is_refused(
    hosted: Hosted,
    redirected: SecureValkey,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    await redirected.create_account(hosted.user, hosted.password)
    url = hosted.url.replace(hosted.hosts.rpartition(":")[0], "elsewhere.example.com")
    with pytest.raises(RedisConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        await ping(redirected.fill(url))
    other = make_authority(tmp_path, "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(other.file))
    with pytest.raises(RedisConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        await ping(redirected.fill(hosted.url.replace("{ca}", str(other.file))))


async def test_a_wrong_password_is_refused(redirected: SecureValkey) -> None:
    await redirected.create_account("shop", "another")
    url = next(it.url for it in SECURE if it.service == "ElastiCache, user")
    with pytest.raises(AuthenticationError):
        await ping(url)


@pytest.mark.parametrize(
    "query",
    [
        "db=3",
        "client_name=shop",
        "protocol=3",
        "health_check_interval=30",
        "username=u&password=p",
        "client_name=",
    ],
)
async def test_honored_option_is_accepted(query: str, secure: SecureValkey) -> None:
    await secure.create_account("u", "p")
    await secure.create_account("default", None)
    for account in ("", "u:p@"):
        await ping(f"unix://{account}{secure.server.socket}?{query}")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("hush=1", "hush"),
        ("socket_timeout=5", "CACHE_TIMEOUT_MS"),
        ("socket_connect_timeout=5", "CACHE_TIMEOUT_MS"),
        ("retry_on_timeout=true", "retry_on_timeout"),
        ("max_connections=5", "max_connections"),
        ("decode_responses=true", "decode_responses"),
        ("encoding=utf-8", "encoding"),
        ("ssl=true", "rediss://"),
        ("family=6", "family"),
        ("ssl_cert_reqs=none", "rediss://"),
        ("ssl_ca_certs=/tmp/ca.pem", "rediss://"),
        ("protocol=4", "protocol"),
        ("client_name=a%20b", "client_name"),
        ("client_name=%C3%A9", "client_name"),
        ("client_name=a%0Ab", "control character"),
        ("db=x", "db"),
        ("db=-1", "db"),
        ("health_check_interval=soon", "health_check_interval"),
        ("socket_keepalive=maybe", "socket_keepalive"),
        ("sentinel_password=x", "sentinel_password"),
        ("novalue", "name=value"),
    ],
)
def test_unknown_option_is_refused_by_name(query: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        read_redis_url(f"redis://:secret@h/0?{query}")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("ssl_cert_reqs=never", "ssl_cert_reqs"),
        ("ssl_check_hostname=maybe", "ssl_check_hostname"),
        ("ssl_ca_certs=/nonexistent.pem", "ssl_ca_certs"),
        ("ssl_certfile=/nonexistent.pem", "ssl_certfile"),
        ("ssl_keyfile=/nonexistent.pem", "ssl_keyfile"),
        ("ssl_min_version=SSLv3", "ssl_min_version"),
        ("ssl_ciphers=hush", "ssl_ciphers"),
    ],
)
def test_invalid_tls_option_is_refused(query: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        read_redis_url(f"rediss://h?{query}")


@pytest.mark.parametrize(
    "url",
    [
        "redis://h/abc",
        "redis://h/0/1",
        "redis://h/-1",
        "redis://h/99999",
        "redis://one,two/0",
        "redis+sentinel://one,two",
        "redis+sentinel://one/service/x",
        "shop.redis.cache.windows.net:6380,password=k3y=,ssl=True,abortConnect=False",
        "redis-cli -u redis://h",
        "unix://",
        "unix:///?db=1",
        "redis://h/0#1",
    ],
)
def test_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must begin|path|hosts|service|socket|#"):
        read_redis_url(url)


def test_socket_keepalive_is_accepted_for_tcp_only() -> None:
    assert Connection(**read_redis_url("redis://h?socket_keepalive=yes").options).socket_keepalive
    with pytest.raises(ValueError, match="socket_keepalive"):
        read_redis_url("unix:///run/x.sock?socket_keepalive=yes")


def test_sentinels_have_separate_tls_and_password_options() -> None:
    url = read_redis_url(
        "rediss+sentinel://u:p@one,[::1]:7/plinth/2?sentinel_username=a&sentinel_password=b+c"
        "&ssl_cert_reqs=none"
    )
    assert url.sentinels == (("one", 26379), ("::1", 7))
    assert url.tls
    assert url.sentinel_options == {"username": "a", "password": "b+c"}
    expected = {"username": "u", "password": "p", "db": 2, "ssl_cert_reqs": "none"}
    assert url.options == expected


async def test_rediss_with_sentinels_uses_tls_for_each_connection() -> None:
    for scheme, kind, managed in (
        ("redis", Connection, SentinelManagedConnection),
        ("rediss", SSLConnection, SentinelManagedSSLConnection),
    ):
        client = connect(f"{scheme}+sentinel://one,two/plinth", seconds=1, connections=1)
        pool: Any = client.connection_pool
        assert pool.connection_class is managed
        sentinels = [it.connection_pool.connection_class for it in pool.sentinel_manager.sentinels]
        assert sentinels == [kind] * 2
        await disconnect(client)
