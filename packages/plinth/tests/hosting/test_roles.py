"""The application as a role without DDL, beside an owner that migrates."""

import base64
import hashlib
import hmac
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.accounts.services.audit import digest_personal_data
from plinth.db.schema import steps
from plinth.devservices import postgres_bin
from plinth.testing.databases import TestServices
from plinth.testing.people import Person
from tests.support.command import plinth
from tests.support.environment import ROOT
from tests.support.mail_server import serving_mail
from tests.support.old_rows import SALT, load_events
from tests.support.roles import Roles, libpq_variables, two_roles
from tests.support.serving import serving
from tests.support.superuser import Superuser

FORBIDDEN = [
    "UPDATE events SET reason = 'x'",
    "UPDATE events SET ip = NULL, user_agent = NULL, salt = NULL",
    "DELETE FROM events",
    "TRUNCATE events",
    "INSERT INTO event_checkpoints VALUES (1, 'x', now(), now(), 'x')",
    "UPDATE event_checkpoints SET hash = 'x'",
    "DELETE FROM event_checkpoints",
    "TRUNCATE event_checkpoints",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "DROP TRIGGER refuse_event_change ON events",
    "CREATE TRIGGER t BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION chain_event()",
    "ALTER TABLE users ADD COLUMN x int",
    "DROP TABLE users",
    "CREATE TABLE x (id int)",
    "CREATE SCHEMA x",
    "CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION chain_event() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "ALTER FUNCTION chain_event() RESET search_path",
    "CREATE OR REPLACE FUNCTION plinth_schema_version() RETURNS int LANGUAGE sql AS 'SELECT 9'",
    "UPDATE alembic_version SET version_num = 'x'",
    "SET session_replication_role = replica",
    "CREATE ROLE x",
    "COPY users TO PROGRAM 'true'",
    "TRUNCATE users",
]
ADD_EVENT = "INSERT INTO events (event, outcome, salt, personal) VALUES ('x', 'y', $1, $2)"
ROOT_LOGIN = {"email": "root@example.com", "password": "a-Plinth-4-root"}


@pytest.fixture
def roles(services: TestServices, worker_id: str, environment: dict[str, str]) -> Iterator[Roles]:
    with two_roles(services, worker_id, environment) as found:
        yield found


@pytest.fixture
def settings(environment: dict[str, str], roles: Roles) -> dict[str, str]:
    """The settings of the application, with a database that the owner has migrated."""
    found = environment | roles.settings
    done = plinth("db", "upgrade", **found)
    assert done.returncode == 0, done.stderr
    return found


@pytest.fixture
async def application(settings: dict[str, str]) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the application's role."""
    connection = await asyncpg.connect(settings["DATABASE_URL"])
    yield connection
    await connection.close()


@pytest.fixture
async def superuser(roles: Roles, settings: dict[str, str]) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(roles.admin)
    yield connection
    await connection.close()


async def test_user_scenario_works_with_the_restricted_role(
    settings: dict[str, str],
    superuser: asyncpg.Connection,
    application: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    with serving_mail() as inbox:
        mail: dict[str, Any] = {
            "MAIL_WORKER": "true",
            "MAIL_POLL_SECONDS": "0.05",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(inbox.port),
            "SMTP_TLS": "none",
            "ENVIRONMENT": "development",
        }
        with serving(tmp_path, **settings | mail) as served:
            await walk(served.url, settings, superuser)
            await inbox.next("ann@example.com")
    assert "permission denied" not in served.log.read_text()
    assert (
        await application.fetchval("SELECT count(*) FROM mails WHERE recipient LIKE 'ann@%'") == 0
    )
    verified = plinth("audit", "verify", **settings)
    assert verified.returncode == 0, verified.stderr


async def walk(url: str, settings: dict[str, str], superuser: asyncpg.Connection) -> None:
    """Register, sign in, refresh, change, administrate, erase."""
    ann = {"email": "ann@example.com", "username": "ann", "password": "a-Plinth-4-ann"}
    login = {"email": ann["email"], "password": ann["password"]}
    async with AsyncClient(base_url=url, timeout=60) as client:
        key = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
        registered = await client.post("/auth/register", json=ann, headers=key)
        assert registered.status_code == 201, registered.text
        wrong = await client.post("/auth/login", json=login | {"password": "no"})
        assert wrong.status_code == 401
        tokens = (await client.post("/auth/login", json=login)).json()
        refresh = {"refresh_token": tokens["refresh_token"]}
        tokens = (await client.post("/auth/refresh", json=refresh)).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        change = {"full_name": "Ann", "password": "a-Plinth-5-ann"}
        change["current_password"] = ann["password"]
        changed = await client.patch("/users/me", json=change, headers=headers)
        assert changed.status_code == 200, changed.text
        forgot = await client.post("/auth/password/forgot", json={"email": ann["email"]})
        assert forgot.status_code in (200, 202), forgot.text
        tokens = await client.post("/auth/login", json=login | {"password": change["password"]})
        headers = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
        for path in ("/users/me", "/users/me/events", "/users/me/sessions", "/users/search?q=ann"):
            assert (await client.get(path, headers=headers)).status_code == 200, path
        ready = await client.get("/health/ready")
        assert ready.status_code == 200, ready.text
        made = plinth(
            "create-superuser",
            "--email=root@example.com",
            "--username=root",
            "--password-env=PW",
            PW=ROOT_LOGIN["password"],
            **settings,
        )
        assert made.returncode == 0, made.stderr
        await administrate(url)
        erased = plinth("users", "erase", "ann@example.com", "--yes", **settings)
        assert erased.returncode == 0, erased.stderr
        assert (await client.get("/users/me", headers=headers)).status_code == 401
    assert await superuser.fetchval("SELECT count(*) FROM events WHERE salt IS NULL") > 0


async def administrate(url: str) -> None:
    async with AsyncClient(base_url=url, timeout=60) as client:
        tokens = (await client.post("/auth/login", json=ROOT_LOGIN)).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        users = (await client.get("/users/", headers=headers)).json()
        ann = next(user["id"] for user in users["items"] if user["username"] == "ann")
        for change in ({"is_active": False}, {"is_active": True}):
            changed = await client.patch(f"/users/{ann}", json=change, headers=headers)
            assert changed.status_code == 200, changed.text
    async with AsyncClient(base_url=url.removesuffix("/api/v1"), timeout=60) as browser:
        pages = Superuser(browser)
        root = Person(0, ROOT_LOGIN["email"], "root", ROOT_LOGIN["password"])
        assert (await pages.sign_in(root)).status_code == 303
        for page in ("/", "/user/list", "/event/list", "/session/list", "/mail/list"):
            assert (await pages.get(page)).status_code == 200, page


async def test_application_role_cannot_change_the_schema_or_audit_log(
    settings: dict[str, str], application: asyncpg.Connection, superuser: asyncpg.Connection
) -> None:
    for statement in FORBIDDEN:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await application.execute(statement)
    granted = await superuser.fetch(
        "SELECT proname, has_function_privilege('pg_monitor', oid, 'EXECUTE') FROM pg_proc"
        " WHERE proname IN ('erase_event_traces', 'prune_events', 'resign_event_checkpoint')"
    )
    assert [allowed for _, allowed in granted] == [False] * 3, "the application's alone"
    await use_a_later_table(settings, application)


async def test_application_role_deletes_old_events_only_by_the_function_and_with_a_key(
    settings: dict[str, str], application: asyncpg.Connection, superuser: asyncpg.Connection
) -> None:
    await load_events(superuser, 1, count=20)
    await application.execute(ADD_EVENT, SALT, digest_personal_data(SALT, None, None))
    done = plinth("db", "prune", **settings, EVENT_KEEP_DAYS="30")
    assert done.returncode == 0, done.stderr
    assert await application.fetchval("SELECT last_id FROM event_checkpoints") == 20
    assert plinth("audit", "verify", **settings).returncode == 0

    for age in ("29 days", "-1 days"):  # also with a clock that is ahead
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="younger than 30 days"):
            await forge_checkpoint(superuser, application, age)
    await forge_checkpoint(superuser, application, "31 days")
    found = plinth("audit", "verify", **settings)
    assert found.returncode == 1
    assert "the signature of the checkpoint of event 21 is wrong" in found.stderr


async def forge_checkpoint(
    superuser: asyncpg.Connection, application: asyncpg.Connection, age: str
) -> None:
    """Call the function without the key, for an event of this age."""
    async with superuser.transaction():
        await superuser.execute("SET LOCAL session_replication_role = replica")
        await superuser.execute("UPDATE events SET at = now() - $1::text::interval", age)
    await application.execute(
        "SELECT prune_events(20, id, hash, at, now(), $1, 'x', 's', 'p') FROM events WHERE id = 21",
        bytes(32),
    )


async def test_application_role_can_read_the_schema_version(
    settings: dict[str, str], application: asyncpg.Connection
) -> None:
    """Also if only its owner may execute a function."""
    owner = await asyncpg.connect(settings["MIGRATION_DATABASE_URL"])
    async with owner.transaction():
        for step in reversed(steps.read_steps()[1:]):
            for statement in step.down.statements():
                await owner.execute(statement)
    await owner.execute("DROP FUNCTION plinth_schema_version()")
    await owner.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
    await owner.execute("UPDATE alembic_version SET version_num = '1f6a92d7e0b5'")
    assert plinth("db", "upgrade", **settings).returncode == 0
    await owner.execute("ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC")
    await owner.close()
    assert await application.fetchval("SELECT plinth_schema_version()") == steps.newest()


async def use_a_later_table(settings: dict[str, str], application: asyncpg.Connection) -> None:
    owner = await asyncpg.connect(settings["MIGRATION_DATABASE_URL"])
    await owner.execute("CREATE TABLE notes (id serial PRIMARY KEY, body text)")
    await owner.close()
    await application.execute("INSERT INTO notes (body) VALUES ('x')")
    await application.execute("UPDATE notes SET body = 'y'")
    assert await application.fetchval("DELETE FROM notes RETURNING body") == "y"


def findings(settings: dict[str, str]) -> dict[str, tuple[str, str]]:
    checks = json.loads(plinth("doctor", "--json", **settings).stdout)["checks"]
    return {check["name"]: (check["level"], check["text"]) for check in checks}


async def test_doctor_checks_the_roles(
    settings: dict[str, str], roles: Roles, superuser: asyncpg.Connection
) -> None:
    found = findings(settings)
    assert (found["roles"][0], found["owner"][0], found["audit log"][0]) == ("fine",) * 3

    await superuser.execute("ALTER TABLE events DISABLE TRIGGER chain_event")
    await superuser.execute(f'GRANT UPDATE ON events TO "{roles.names[1]}"')
    found = findings(settings)
    assert (found["audit log"][0], found["roles"][0]) == ("broken", "doubtful")
    assert "may change events" in found["roles"][1]

    await superuser.execute(f'REVOKE UPDATE ON events FROM "{roles.names[1]}"')
    assert findings(settings)["roles"][0] == "fine"
    await superuser.execute(f'GRANT DELETE ON event_checkpoints TO "{roles.names[1]}"')
    assert "may change events" in findings(settings)["roles"][1]

    one_role = {name: it for name, it in settings.items() if name != "MIGRATION_DATABASE_URL"}
    found = findings(one_role | {"DATABASE_URL": roles.owner})
    assert found["roles"][0] == "doubtful"
    assert "owns the tables" in found["roles"][1]
    assert "is a superuser" in findings(one_role | {"DATABASE_URL": roles.admin})["roles"][1]
    wrong = findings(settings | {"MIGRATION_DATABASE_URL": roles.application})
    assert wrong["owner"][0] == "broken"


async def test_backup_can_be_restored_without_a_superuser(
    settings: dict[str, str],
    superuser: asyncpg.Connection,
    application: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    """A superuser owns the extensions and created them before the two roles existed."""
    await superuser.execute("UPDATE pg_extension SET extowner = 10")
    await application.execute(
        "INSERT INTO users (email, username, hashed_password) VALUES ('a@example.com', 'a', 'x')"
    )
    await application.execute(
        "INSERT INTO events (event, outcome, personal) VALUES ('x', 'success', '')"
    )
    dump = tmp_path / "x.dump"
    done = plinth("db", "backup", str(dump), **settings)
    assert done.returncode == 0, done.stderr
    await application.execute("DELETE FROM users")

    done = plinth("db", "restore", str(dump), "--yes", **settings)

    assert done.returncode == 0, done.stderr
    assert await application.fetchval("SELECT username FROM users") == "a"
    assert findings(settings)["roles"][0] == "fine"
    for statement in ("UPDATE events SET reason = 'x'", "DROP TABLE users"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await application.execute(statement)
    assert plinth("db", "upgrade", **settings).returncode == 0


def test_backup_from_before_a_new_table_is_restored_into_a_new_database(
    services: TestServices, roles: Roles, settings: dict[str, str], tmp_path: Path
) -> None:
    """As docs/how-to/deploy.md describes for a host."""
    dump = str(tmp_path / "x.dump")
    assert plinth("db", "backup", dump, **settings).returncode == 0
    printed = plinth("db", "roles", **settings)
    folder = postgres_bin()
    assert folder
    psql = [str(folder / "psql"), "-XqvON_ERROR_STOP=1"]
    run([*psql, "-d", roles.owner, "-c", "CREATE TABLE added (id int)"], {}).check_returncode()
    refused = plinth("db", "restore", dump, "--yes", **settings)
    assert "restore into an empty database" in " ".join(refused.stderr.split())

    name = urlsplit(roles.admin).path.removeprefix("/")
    again = [f'DROP DATABASE "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}"']
    for statement in again:
        run([*psql, "-d", services.server_url, "-c", statement], {}).check_returncode()
    (tmp_path / "roles.sql").write_text(printed.stdout)
    run([*psql, "-d", roles.admin, "-f", str(tmp_path / "roles.sql")], {}).check_returncode()
    done = plinth("db", "restore", dump, "--yes", **settings)

    assert done.returncode == 0, done.stderr
    assert findings(settings)["roles"][0] == "fine"
    assert plinth("db", "upgrade", **settings).returncode == 0


async def test_database_of_one_role_is_migrated_to_two_roles(
    roles: Roles, environment: dict[str, str]
) -> None:
    one = environment | {"DATABASE_URL": roles.admin}
    assert plinth("db", "upgrade", **one).returncode == 0
    admin = await asyncpg.connect(roles.admin)
    await admin.execute(
        "INSERT INTO users (email, username, hashed_password) VALUES ('a@example.com', 'a', 'x')"
    )
    two = environment | roles.settings

    for _ in range(2):  # a second run succeeds
        done = plinth("db", "roles", "--url-env=ADMIN", ADMIN=roles.admin, **two)
        assert done.returncode == 0, done.stderr
        assert plinth("db", "upgrade", **two).returncode == 0
    owners = await admin.fetch(
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    )
    await admin.close()

    assert [row[0] for row in owners] == [roles.names[0]]
    assert findings(two)["roles"][0] == "fine"
    down = plinth("db", "downgrade", "--yes", **two)
    assert down.returncode == 0, down.stderr
    connection = await asyncpg.connect(roles.application)
    assert await connection.fetchval("SELECT username FROM users") == "a"
    await connection.close()


def test_printed_sql_contains_no_password_and_runs_in_psql(
    roles: Roles, environment: dict[str, str]
) -> None:
    printed = plinth("db", "roles", **environment | roles.settings)

    assert printed.returncode == 0, printed.stderr
    assert "pass:word" not in printed.stdout
    assert "a%20pass" not in printed.stdout
    folder = postgres_bin()
    assert folder
    done = subprocess.run(
        [folder / "psql", "-XqvON_ERROR_STOP=1", "-d", roles.admin],
        input=printed.stdout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_scram_verifier_matches_the_server(
    roles: Roles,
) -> None:
    admin = await asyncpg.connect(roles.admin)
    stored = await admin.fetchval(
        "SELECT rolpassword FROM pg_authid WHERE rolname = $1", roles.names[1]
    )
    await admin.close()
    _, iterations, rest = stored.replace(":", "$", 1).split("$", 2)
    salt = base64.b64decode(rest.split("$")[0])
    salted = hashlib.pbkdf2_hmac("sha256", b"a pass:word", salt, int(iterations))
    client_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    assert base64.b64encode(client_key).decode() == rest.split("$")[1].split(":")[0]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "MIGRATION_DATABASE_URL": "postgresql://app@db/x",
            "DATABASE_URL": "postgresql://app@db/x",
        },
    ],
)
def test_roles_command_requires_two_urls(settings: dict[str, str]) -> None:
    done = plinth("db", "roles", **settings)
    assert done.returncode == 1
    assert "MIGRATION_DATABASE_URL" in done.stderr


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


async def test_compose_init_script_creates_the_same_roles(
    roles: Roles, environment: dict[str, str]
) -> None:
    """On a volume that is older than the two roles, and again by hand."""
    folder = postgres_bin()
    assert folder
    admin = await asyncpg.connect(roles.admin)
    server = libpq_variables(roles.admin)
    names = [f"{name}_2" for name in roles.names]
    given = server | {
        "PATH": f"{folder}:/usr/bin:/bin",
        "PLINTH_OWNER": names[0],
        "PLINTH_APPLICATION": names[1],
        "PLINTH_OWNER_PASSWORD": "it's $ecret",
        "PLINTH_APPLICATION_PASSWORD": "b",
        "PLINTH_ROLES_SQL": str(ROOT / "packages/plinth/src/plinth/cli/db/roles.sql"),
    }
    owner = "SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database()"
    before = await admin.fetchval(owner)
    script = ["sh", str(ROOT / "deploy/initdb.d/10-roles.sh")]
    try:
        for arguments in (["if-missing"], ["if-missing"], []):
            done = run([*script, *arguments], given)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert before.strip('"') == roles.names[0]
        assert (await admin.fetchval(owner)).strip('"') == names[0]
    finally:
        await admin.execute(f'ALTER DATABASE "{server["POSTGRES_DB"]}" OWNER TO "{roles.names[0]}"')
        for name in names:
            await admin.execute(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')
        await admin.close()
