"""DATABASE_URL as in libpq: each option is honored, ignored, or refused by name."""

import re
from pathlib import Path
from ssl import TLSVersion

import pytest

from plinth.config.urls.postgres_tls import make_context
from plinth.config.urls.postgres_url import Host, libpq_url, read_postgres_url
from tests.support.certificates import Issued, make_authority
from tests.support.hosted import POSTGRES, Hosted

# Of libpq 18, https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS, each with
# a value that does what we do, and one that we cannot honor.
HONORED = {
    "host": "one.example.com",
    "hostaddr": "10.0.0.1",
    "port": "6543",
    "dbname": "app",
    "user": "app",
    "password": "hush",
    "passfile": "/etc/pgpass",
    "channel_binding": "prefer",
    "connect_timeout": "10",
    "client_encoding": "UTF8",
    "options": "-c%20search_path%3Dapp",
    "application_name": "shop",
    "fallback_application_name": "shop",
    "keepalives": "0",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "5000",
    "replication": "false",
    "gssencmode": "prefer",
    "sslmode": "require",
    "sslnegotiation": "postgres",
    "sslcompression": "0",
    "sslcertmode": "allow",
    "sslsni": "1",
    "ssl_min_protocol_version": "TLSv1.3",
    "min_protocol_version": "3.0",
    "max_protocol_version": "latest",
    "gssdelegation": "0",
    "target_session_attrs": "primary",
    "load_balance_hosts": "random",
    "ssl": "true",
}
REFUSED = {
    "channel_binding": "always",
    "connect_timeout": "soon",
    "client_encoding": "LATIN1",
    "keepalives": "yes",
    "keepalives_idle": "1m",
    "keepalives_interval": "x",
    "keepalives_count": "1.5",
    "tcp_user_timeout": "5s",
    "replication": "database",
    "gssencmode": "require",
    "sslmode": "verify",
    "sslnegotiation": "direct",  # without certain TLS
    "sslcertmode": "require",
    "sslrootcert": "/nonexistent/hush.pem",
    "sslcert": "/nonexistent/hush.crt",
    "sslkey": "/nonexistent/hush.key",
    "sslcrl": "/nonexistent/hush.crl",
    "sslcrldir": "/etc/crl",
    "sslkeylogfile": "/tmp/keys",
    "sslsni": "0",
    "sslcompression": "2",
    "requirepeer": "postgres",
    "require_auth": "scram-sha-256",
    "ssl_min_protocol_version": "SSLv3",
    "ssl_max_protocol_version": "TLSv1.1",
    "min_protocol_version": "3.2",
    "max_protocol_version": "2.0",
    "krbsrvname": "postgres",
    "gsslib": "gssapi",
    "gssdelegation": "1",
    "scram_client_key": "hush",
    "scram_server_key": "hush",
    "service": "shop",
    "servicefile": "/etc/pg_service.conf",
    "target_session_attrs": "writable",
    "load_balance_hosts": "round-robin",
    "oauth_issuer": "https://hush.example.com",
    "oauth_client_id": "hush",
    "oauth_client_secret": "hush",
    "oauth_scope": "hush",
    "port": "0",
    "hostaddr": "one.example.com",
    "host": "a%20b",
    # Options of other programs.
    "pgbouncer": "true",
    "connection_limit": "1",
    "prepared_statement_cache_size": "0",
    "schema": "public",
    "search_path": "app",
    "statement_timeout": "5s",
}
LIBPQ = re.findall(
    r"\w+",
    """
    host hostaddr port dbname user password passfile require_auth channel_binding
    connect_timeout client_encoding options application_name fallback_application_name
    keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout
    replication gssencmode sslmode sslnegotiation sslcompression sslcert sslkey sslkeylogfile
    sslpassword sslcertmode sslrootcert sslcrl sslcrldir sslsni requirepeer
    ssl_min_protocol_version ssl_max_protocol_version min_protocol_version max_protocol_version
    krbsrvname gsslib gssdelegation scram_client_key scram_server_key service servicefile
    target_session_attrs load_balance_hosts oauth_issuer oauth_client_id oauth_client_secret
    oauth_scope
    """,
)


@pytest.fixture(autouse=True)
def _without_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove `~/.postgresql` and the variables of libpq."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCRL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    authority = make_authority(tmp_path_factory.mktemp("ca"))
    issued: Issued = authority.issue("app")
    return {"ca": authority.file, "crt": issued.certificate, "key": issued.key}


def test_each_option_of_libpq_is_known() -> None:
    assert set(LIBPQ) - {*HONORED, *REFUSED} == {"sslpassword"}


@pytest.mark.parametrize("name", HONORED)
def test_honored_option_is_accepted(name: str) -> None:
    place = "" if name in ("host", "hostaddr") else "h"
    assert read_postgres_url(f"postgresql://{place}/d?{name}={HONORED[name]}")
    assert read_postgres_url(f"postgresql://h/d?{name}=")  # as in libpq: counts as not given


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_option_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=name) as refused:
        read_postgres_url(f"postgresql://u:hush@h/d?{name}={REFUSED[name]}")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connect_timeout", "99999999999999999999"),
        ("keepalives_idle", "32768"),
        ("keepalives_interval", "99999999999"),
        ("keepalives_count", "128"),
        ("tcp_user_timeout", "2147483648"),
        ("tcp_user_timeout", "9" * 5000),
        ("keepalives_idle", "\u0665"),
    ],
)
def test_number_out_of_range_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        read_postgres_url(f"postgresql://h/d?{name}={value}")


@pytest.mark.parametrize("rest", ["h/d%00", "u%00:p@h/d", "u:p%0A@h/d", "h/d?options=%00", "h/d#f"])
def test_control_character_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"control character|has a #"):
        read_postgres_url(f"postgresql://{rest}")


@pytest.mark.parametrize(
    "query", ["novalue", "a=1&b", "=1", "&", "hush%20%3D=1", "SSLMODE=require", "sslmode=require&"]
)
def test_malformed_option_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match=r"option|followed by name=value") as refused:
        read_postgres_url(f"postgresql://h/d?{query}")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("hosted", POSTGRES, ids=lambda it: it.service)
def test_url_of_a_hosted_service_is_parsed(hosted: Hosted, files: dict[str, Path]) -> None:
    url = read_postgres_url(hosted.url.format(**files))
    assert (url.user, url.password, url.database) == (hosted.user, hosted.password, hosted.database)
    assert ",".join(f"{host.name}:{host.port}" for host in url.hosts) == hosted.hosts
    assert url.tls.mode == hosted.tls
    assert "pw" not in repr(url)


def test_corpus_has_more_than_40_urls() -> None:
    assert len({hosted.url for hosted in POSTGRES}) == len(POSTGRES) > 40


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://me:p%40ss@one:1,two:2/db", [("one", 1), ("two", 2)]),
        ("postgresql://one,two:7/db?sslmode=disable", [("one", 5432), ("two", 7)]),
        ("postgresql://[::1]:6,[fe80::1]/db", [("::1", 6), ("fe80::1", 5432)]),
        ("postgresql://me@one,[::1]:6,two:7/db", [("one", 5432), ("::1", 6), ("two", 7)]),
        ("postgresql://me@/db?host=/run/a,/run/b", [("/run/a", 5432), ("/run/b", 5432)]),
        ("postgresql://me@/db?host=one,two&port=1,2", [("one", 1), ("two", 2)]),
        ("postgresql://me@/db?host=one,two&port=3", [("one", 3), ("two", 3)]),
        ("postgresql://me@%2Frun%2Fa:1/db", [("/run/a", 1)]),
        ("postgresql://me@localhost:7/db?host=/cloudsql/a:b:c", [("/cloudsql/a:b:c", 7)]),
        ("postgresql:///db", []),
        ("postgresql:///db?hostaddr=10.0.0.1", [("10.0.0.1", 5432, "10.0.0.1")]),
        ("postgresql://one,two/?hostaddr=10.0.0.1,::1", [("one", 5432, "10.0.0.1"),
                                                          ("two", 5432, "::1")]),
    ],
)  # fmt: skip
def test_hosts_are_parsed_like_libpq(
    url: str, hosts: list[tuple[str, int] | tuple[str, int, str]]
) -> None:
    assert list(read_postgres_url(url).hosts) == [Host(*host) for host in hosts]


@pytest.mark.parametrize(
    "rest",
    [
        "one,two,three/d?port=1,2",
        "one,two/d?hostaddr=10.0.0.1",
        "h/d?port=70000",
        "h:0/d",
        "h/d?port=x",
        f"{'a' * 64}.example.com/d",
        "a..b/d",
        f"{'a.' * 130}example/d",
    ],
)
def test_mismatched_hosts_and_ports_are_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"port|host"):
        read_postgres_url(f"postgresql://{rest}")


def test_plus_sign_is_not_decoded_as_a_space() -> None:
    url = read_postgres_url("postgresql://u@h/d?password=a+b%20c")
    assert url.password == "a+b c"


def test_application_name_is_honored() -> None:
    def name(query: str) -> str | None:
        return read_postgres_url(f"postgresql://h/d?{query}").settings.get("application_name")

    assert name("application_name=a&fallback_application_name=b") == "a"
    assert name("fallback_application_name=b") == "b"
    assert name("sslmode=disable") is None


@pytest.mark.parametrize(
    "options",
    [
        "-c statement_timeout=0",
        "-cstatement_timeout=0",
        "--statement-timeout=0",
        "-c search_path=a -c lock_timeout=1s",
        "-c TimeZone=Asia/Tokyo",
        "-c client_encoding=LATIN1",
    ],
)
def test_options_that_would_be_overridden_are_refused(options: str) -> None:
    with pytest.raises(ValueError, match="in options: remove it there"):
        read_postgres_url(f"postgresql://h/d?options={options.replace(' ', '%20')}")


@pytest.mark.parametrize(
    ("query", "mode", "root"),
    [
        ("sslmode=require&channel_binding=require", "verify-full", "system"),
        ("channel_binding=require", "verify-full", "system"),
        ("sslmode=verify-full&channel_binding=require", "verify-full", "system"),
        ("sslmode=require&channel_binding=require&sslrootcert={ca}", "verify-full", "{ca}"),
        ("sslrootcert=system", "verify-full", "system"),
        ("sslmode=require&sslrootcert={ca}", "require", "{ca}"),
        ("sslmode=require", "require", None),
        ("channel_binding=prefer", "prefer", None),
    ],
)
def test_channel_binding_requires_a_verified_certificate(
    query: str, mode: str, root: str | None, files: dict[str, Path]
) -> None:
    tls = read_postgres_url(f"postgresql://h/d?{query.format(**files)}").tls
    assert (tls.mode, tls.root) == (mode, root and root.format(**files))


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("sslmode=disable&channel_binding=require", "channel_binding"),
        ("sslmode=allow&channel_binding=require", "channel_binding"),
        ("sslmode=prefer&channel_binding=require", "channel_binding"),
        ("sslmode=verify-ca&channel_binding=require&sslrootcert={ca}", "channel_binding"),
        ("host=/run/postgresql&channel_binding=require", "channel_binding"),
        ("sslmode=require&sslrootcert=system", "sslrootcert=system"),
        ("sslmode=disable&sslrootcert=system", "sslrootcert=system"),
        ("sslmode=verify-full", "sslrootcert"),
        ("sslmode=verify-ca", "sslrootcert"),
        ("sslmode=prefer&sslrootcert={ca}", "sslrootcert"),
        ("sslcert={crt}&sslkey={key}", "sslcert"),
        ("sslmode=require&sslkey={key}", "sslkey"),
        ("sslmode=prefer&sslnegotiation=direct", "sslnegotiation"),
        ("sslmode=require&sslrootcert={key}", "sslrootcert"),
        ("sslmode=require&sslcert={ca}&sslkey={key}", "sslcert"),
    ],
)
def test_contradictory_tls_options_are_refused(
    query: str, named: str, files: dict[str, Path]
) -> None:
    with pytest.raises(ValueError, match=named):
        read_postgres_url(f"postgresql:///d?{query.format(**files)}")


@pytest.mark.parametrize(
    ("query", "oldest"),
    [
        ("", TLSVersion.TLSv1_2),
        ("ssl_min_protocol_version=TLSv1", TLSVersion.TLSv1_2),
        ("ssl_min_protocol_version=TLSv1.1", TLSVersion.TLSv1_2),
        ("ssl_min_protocol_version=TLSv1.3", TLSVersion.TLSv1_3),
    ],
)
def test_tls_1_2_is_the_minimum(query: str, oldest: TLSVersion) -> None:
    tls = read_postgres_url(f"postgresql://h/d?sslmode=require&{query}".rstrip("&")).tls
    assert make_context(tls).minimum_version == oldest


def test_libpq_url_is_valid_for_libpq_programs() -> None:
    url = libpq_url("postgresql+asyncpg://u:p@h:5432/d?ssl=require&database=e&sslmode=verify-full")
    assert url == "postgresql://u:p@h:5432/d?sslmode=require&dbname=e&sslmode=verify-full"
    assert libpq_url("postgres://h/d?ssl=true") == "postgresql://h/d?sslmode=require"
