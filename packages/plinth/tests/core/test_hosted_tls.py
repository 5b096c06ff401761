"""Connection strings of hosted services with TLS, with a real PostgreSQL.

Its certificate has the names of the services. `hostaddr` connects each name to this server.
"""

import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from plinth.config.urls.postgres_url import read_postgres_url
from plinth.db.driver import Connector
from tests.support.certificates import Authority, Issued, make_authority
from tests.support.hosted import FULL, POSTGRES, PREFER, Hosted
from tests.support.postgres import OwnPostgres, make_run_folder, own_postgres, remove
from tests.support.tls_front import TlsFront, tls_front

SECURE = [hosted for hosted in POSTGRES if hosted.tls not in (PREFER, "disable")]
NAMES = sorted({host.rpartition(":")[0] for it in SECURE for host in it.hosts.split(",")})
# After TLS the server requires the password, as those services do.
HBA = """
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True, slots=True)
class SecureServer:
    server: OwnPostgres
    front: TlsFront
    authority: Authority
    issued: Issued
    client: Issued

    def redirect_url(self, url: str) -> str:
        """Return the URL with its host names, and the address and port of this server."""
        files = {"ca": self.authority.file, "crt": self.client.certificate, "key": self.client.key}
        url = re.sub("&options=[^&]*", "", url.format(**files))  # for their proxy
        addresses = ",".join(["127.0.0.1"] * len(read_postgres_url(url).hosts))
        port = self.front.direct_port if "=direct" in url else self.front.port
        mark = "&" if "?" in url else "?"
        return f"{url}{mark}hostaddr={addresses}&port={port}"

    async def connect(self, url: str) -> tuple[str | None, str | None]:
        """Return the TLS version and the common name of the client's certificate."""
        connection = await Connector(self.redirect_url(url), seconds=10).connect()
        try:
            assert await connection.fetchval("SELECT 1") == 1
        finally:
            await connection.close()
        return self.front.seen[-1]

    def create_account(self, user: str, password: str, database: str) -> None:
        for statement in (
            f'CREATE ROLE "{user}" LOGIN',
            f'CREATE DATABASE "{database}"',
        ):
            with suppress(AssertionError):  # the file exists, from another service
                self.server.ask(statement)
        self.server.ask(f"ALTER ROLE \"{user}\" PASSWORD '{password}'")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    above = Path(tempfile.mkdtemp(prefix="pt-"))
    above.chmod(0o755)  # PostgreSQL's user traverses it
    yield above
    remove(above)


@pytest.fixture(scope="module")
async def secure(folder: Path) -> AsyncIterator[SecureServer]:
    """Keep the loop until the end of the module, so that TLS connections close."""
    authority = make_authority(folder)
    issued = authority.issue("server", *NAMES)
    with (
        own_postgres(make_run_folder(folder / "run")) as server,
        tls_front(server.port, issued, authority) as front,
    ):
        (server.folder / "pg_hba.conf").write_text(HBA)
        server.ask("SELECT pg_reload_conf()")
        secure = SecureServer(server, front, authority, issued, authority.issue("app"))
        secure.create_account("tester", "pw", "rdb")
        yield secure


@pytest.fixture(autouse=True)
def _trusts_the_authority(secure: SecureServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sslrootcert=system` uses OpenSSL's default store, which this variable sets."""
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.authority.file))
    monkeypatch.setenv("HOME", str(secure.authority.folder))


@pytest.mark.parametrize("hosted", SECURE, ids=lambda it: it.service)
async def test_hosted_url_connects_with_tls(hosted: Hosted, secure: SecureServer) -> None:
    secure.create_account(str(hosted.user), str(hosted.password), str(hosted.database))
    version, client = await secure.connect(hosted.url)
    assert version in ("TLSv1.2", "TLSv1.3")
    assert client == ("app" if "sslcert=" in hosted.url else None)


@pytest.mark.parametrize("hosted", SECURE, ids=lambda it: it.service)
async def test_a_wrong_password_is_refused(hosted: Hosted, secure: SecureServer) -> None:
    secure.create_account(str(hosted.user), "another", str(hosted.database))
    with pytest.raises(asyncpg.InvalidPasswordError):
        await secure.connect(hosted.url)


VERIFIED = [hosted for hosted in SECURE if hosted.tls == FULL]


@pytest.mark.parametrize("hosted", VERIFIED, ids=lambda it: it.service)
async def test_a_certificate_of_another_name_is_refused(
    hosted: Hosted, secure: SecureServer
) -> None:
    """A server in between with a valid certificate for another name."""
    url = hosted.url
    for name in hosted.hosts.split(","):
        url = url.replace(name.rpartition(":")[0], "elsewhere.example.com")
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        await secure.connect(url)


@pytest.mark.parametrize("hosted", VERIFIED, ids=lambda it: it.service)
async def test_a_certificate_of_another_authority_is_refused(
    hosted: Hosted, secure: SecureServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = make_authority(tmp_path, "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(other.file))
    url = hosted.url.replace("{ca}", str(other.file))
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        await secure.connect(url)


async def test_a_revoked_certificate_is_refused(secure: SecureServer) -> None:
    authority, server = secure.authority, secure.issued
    url = f"postgresql://tester:pw@{NAMES[0]}/rdb?sslmode=verify-full&sslrootcert={authority.file}"
    await secure.connect(f"{url}&sslcrl={authority.revoke(secure.client)}")
    with pytest.raises(OSError, match="certificate revoked"):
        await secure.connect(f"{url}&sslcrl={authority.revoke(server)}")


async def test_verify_ca_checks_only_the_authority(secure: SecureServer, tmp_path: Path) -> None:
    url = "postgresql://tester:pw@elsewhere/rdb?sslmode=verify-ca&sslrootcert="
    await secure.connect(f"{url}{secure.authority.file}")
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        await secure.connect(f"{url}{make_authority(tmp_path, 'other').file}")


@pytest.mark.parametrize(
    ("query", "version"),
    [
        ("ssl_max_protocol_version=TLSv1.2", "TLSv1.2"),
        ("ssl_min_protocol_version=TLSv1.3", "TLSv1.3"),
        ("ssl_min_protocol_version=TLSv1", "TLSv1.3"),
        ("sslnegotiation=direct", "TLSv1.3"),
    ],
)
async def test_tls_version_option_applies(query: str, version: str, secure: SecureServer) -> None:
    url = f"postgresql://tester:pw@h/rdb?sslmode=require&{query}"
    assert (await secure.connect(url))[0] == version


async def test_server_without_tls_is_refused_when_tls_is_required(secure: SecureServer) -> None:
    url = f"postgresql://tester:pw@127.0.0.1:{secure.server.port}/rdb?sslmode="
    with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
        await Connector(f"{url}require", seconds=10).connect()
    for mode in ("prefer", "allow", "disable"):
        await (await Connector(f"{url}{mode}", seconds=10).connect()).close()
