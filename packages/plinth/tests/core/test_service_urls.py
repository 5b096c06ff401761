"""DATABASE_URL and REDIS_URL: complete, or built from their parts."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from plinth.cli.failure import describe
from plinth.config import Settings, SettingsError, load_settings
from plinth.config.checks import PUBLIC_PASSWORD
from plinth.config.urls.postgres_url import libpq_url
from plinth.config.urls.redis_url import read_redis_url
from tests.support.environment import COMPLETE

ODD = "p@ss/w:o#r?d%20 é&="


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", ".env")


@pytest.mark.parametrize(
    ("parts", "url"),
    [
        (
            {"POSTGRES_HOST": "db"},
            "postgresql://postgres@db:5432/plinth",
        ),
        (
            {"POSTGRES_USER": "a b", "POSTGRES_PASSWORD": ODD, "POSTGRES_DB": "d/b"},
            "postgresql://a%20b:p%40ss%2Fw%3Ao%23r%3Fd%2520%20%C3%A9%26%3D@localhost:5432/d%2Fb",
        ),
        (
            {"POSTGRES_HOST": "::1", "POSTGRES_PORT": 5433},
            "postgresql://postgres@[::1]:5433/plinth",
        ),
        (
            {"POSTGRES_HOST": "/var/run/postgresql"},
            "postgresql://postgres@%2Fvar%2Frun%2Fpostgresql:5432/plinth",
        ),
    ],
)
def test_database_url_is_built_from_its_parts(parts: dict[str, object], url: str) -> None:
    settings = load_settings(**parts)
    assert url == settings.DATABASE_URL


def test_redis_url_is_built_from_its_parts() -> None:
    settings = load_settings(REDIS_HOST="cache", REDIS_PORT=6380, REDIS_DB=2, REDIS_PASSWORD=ODD)
    pool = Redis.from_url(settings.REDIS_URL or "").connection_pool
    found = pool.connection_kwargs
    assert (found["host"], found["port"], found["db"], found["password"]) == ("cache", 6380, 2, ODD)
    assert load_settings(REDIS_HOST="::1").REDIS_URL == "redis://[::1]:6379/0"


async def test_unusual_password_reaches_the_server_unchanged() -> None:
    heard: list[bytes] = []

    async def ask_password(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Act as a PostgreSQL with `password` in its pg_hba.conf that refuses each password."""
        await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)
        writer.write(b"R\0\0\0\x08\0\0\0\x03")
        await reader.readexactly(1)
        heard.append(await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4))
        writer.close()

    async with await asyncio.start_server(ask_password, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = load_settings(
            POSTGRES_HOST="127.0.0.1", POSTGRES_PORT=port, POSTGRES_PASSWORD=ODD
        )
        with pytest.raises(asyncpg.PostgresConnectionError):
            await asyncpg.connect(settings.DATABASE_URL, ssl=False, timeout=5)
    assert heard == [ODD.encode() + b"\0"]


def test_complete_url_overrides_its_parts() -> None:
    settings = load_settings(
        DATABASE_URL="postgresql://whole/db",
        POSTGRES_HOST="parts",
        REDIS_URL="redis://whole",
        REDIS_HOST="parts",
    )
    assert (settings.DATABASE_URL, settings.REDIS_URL) == ("postgresql://whole/db", "redis://whole")


def test_other_postgres_variables_build_no_url() -> None:
    """Compose reads the same .env."""
    Path(".env").write_text("POSTGRES_INITDB_ARGS=--data-checksums\nREDIS_IMAGE=redis:7\n")
    settings = load_settings()
    assert (settings.DATABASE_URL, settings.REDIS_URL) == (None, None)


@pytest.mark.parametrize(
    "scheme",
    ["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg", "postgresql+psycopg2"],
)
def test_database_url_accepts_any_driver_scheme(scheme: str) -> None:
    url = load_settings(DATABASE_URL=f"{scheme}://u:p@h:5432/d").DATABASE_URL
    assert url
    assert libpq_url(url) == "postgresql://u:p@h:5432/d"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///plinth?host=/var/run/postgresql",
        "postgresql://u@%2Fvar%2Frun/plinth",
        "postgresql://u:p%40@h1:5432,h2:5433,[::1]:5434/d?target_session_attrs=primary",
        "postgresql://h/d?sslmode=disable",
        "postgresql://",
    ],
)
def test_libpq_url_forms_are_accepted(url: str) -> None:
    settings = load_settings(**COMPLETE | {"DATABASE_URL": url})
    assert url == settings.DATABASE_URL


@pytest.mark.parametrize(
    "url", ["unix:///run/valkey.sock?db=0", "rediss://:p@h:6380/1", "redis://u:p%2F@[::1]:6379"]
)
def test_redis_url_forms_are_accepted(url: str) -> None:
    settings = load_settings(**COMPLETE | {"REDIS_URL": url})
    assert url == settings.REDIS_URL


def test_sentinels_accept_any_address_form() -> None:
    asked = read_redis_url("redis+sentinel://u:p@one,[::1]:7,[::2]/plinth/1")
    assert asked.sentinels == (("one", 26379), ("::1", 7), ("::2", 26379))
    assert asked.service == "plinth"
    assert asked.options == {"username": "u", "password": "p", "db": 1}


@pytest.mark.parametrize("hosts", ["h", "h1,h2:1", "h1,[::1]:5434"])
def test_public_password_is_refused_with_any_hosts(hosts: str) -> None:
    url = f"postgresql://u:{PUBLIC_PASSWORD}@{hosts}/d"
    with pytest.raises(SettingsError, match="public password"):
        load_settings(**COMPLETE | {"DATABASE_URL": url})


@pytest.mark.parametrize("odd", "/#?@[]℀")
@pytest.mark.parametrize(
    ("name", "form"),
    [("DATABASE_URL", "postgresql://u:{}@h/d"), ("REDIS_URL", "redis://:{}@h/0")],
)
def test_unencoded_password_is_refused_and_not_shown(name: str, form: str, odd: str) -> None:
    with pytest.raises(SettingsError, match="Percent-encode") as refused:
        load_settings(**COMPLETE | {name: form.format(f"front{odd}back")})
    said = str(refused.value)
    assert name in said
    assert "front" not in said
    assert "back" not in said


@pytest.mark.parametrize("query", ["password=hush", "p%61ssword=hush", "sslpassword=hush"])
def test_describe_hides_passwords(query: str) -> None:
    shown = describe(f"postgresql://u:hush@h:5432/d?sslmode=require&{query}&sslcert=x")
    assert shown == "postgresql://u@h:5432/d?sslmode=require&sslcert=x"


@pytest.mark.parametrize("url", ["postgresql://h/d?password={}", "postgresql://u:{}@h/d"])
def test_public_password_is_refused_in_any_encoding(url: str) -> None:
    for form in (PUBLIC_PASSWORD, PUBLIC_PASSWORD.replace("-", "%2D")):
        with pytest.raises(SettingsError, match="public password"):
            load_settings(**COMPLETE | {"DATABASE_URL": url.format(form)})
