"""`plinth create-superuser`, which creates the first superuser."""

from pathlib import Path

import asyncpg
from httpx2 import AsyncClient

from plinth.db.database import Database
from plinth.testing.people import PASSWORD, People
from tests.support.command import plinth, plinth_at_terminal

ROOT = ("create-superuser", "--email", "root@example.com", "--username", "root")


async def test_created_superuser_can_sign_in_and_list_users(
    client: AsyncClient, environment: dict[str, str], second: asyncpg.Connection
) -> None:
    made = plinth(*ROOT, "--password-env", "PW", PW=PASSWORD, **environment)
    assert made.returncode == 0, made.stderr
    flags = "SELECT is_superuser, is_verified, is_active FROM users"
    assert tuple(await second.fetchrow(flags)) == (True, True, True)
    credentials = {"email": "root@example.com", "password": PASSWORD}
    tokens = (await client.post("/auth/login", json=credentials)).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await client.get("/users/", headers=headers)).json()["total"] == 1
    event = "SELECT count(*) FROM events WHERE event = 'superuser.created'"
    assert await second.fetchval(event) == 1


async def test_password_file_is_read_without_its_last_line_break(
    client: AsyncClient, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o644)
    made = plinth(*ROOT, "--password-file", str(file), **environment)
    assert made.returncode == 0, made.stderr
    assert "chmod 600" in made.stderr
    credentials = {"email": "root@example.com", "password": PASSWORD}
    assert (await client.post("/auth/login", json=credentials)).status_code == 200


async def test_invalid_fields_are_reported_and_create_no_user(
    client: AsyncClient, environment: dict[str, str], second: asyncpg.Connection
) -> None:
    arguments = ("create-superuser", "--email", "root", "--username", "r", "--password-env", "PW")
    refused = plinth(*arguments, PW="weak", **environment)
    assert refused.returncode == 1
    assert {line.split(":")[0].strip() for line in refused.stderr.splitlines()[1:]} == {
        "email",
        "username",
        "password",
    }
    assert "weak" not in refused.stderr
    assert await second.fetchval("SELECT count(*) FROM users") == 0


async def test_taken_email_is_reported_and_can_be_promoted(
    people: People, client: AsyncClient, environment: dict[str, str], second: asyncpg.Connection
) -> None:
    ann = await people.enter(email="Root@Example.com")
    refused = plinth(*ROOT, "--password-env", "PW", PW=PASSWORD, **environment)
    assert refused.returncode == 1
    assert refused.stderr.startswith("Email already registered")
    assert not await second.fetchval("SELECT is_superuser FROM users")

    ignored = plinth(
        *ROOT[:3], "--promote", "--yes", "--password-env", "PW", PW=PASSWORD, **environment
    )
    assert ignored.returncode == 1
    assert "--promote changes no name and no password" in ignored.stderr

    promoted = plinth(*ROOT[:3], "--promote", "--yes", **environment)
    assert promoted.returncode == 0, promoted.stderr
    assert await second.fetchval("SELECT is_superuser FROM users")
    assert (await client.get("/users/me", headers=ann.headers)).status_code == 401


async def test_missing_values_are_prompted_and_the_password_is_hidden(
    client: AsyncClient, environment: dict[str, str]
) -> None:
    code, screen = plinth_at_terminal(
        "create-superuser",
        answers=[
            ("Email address: ", "root@example.com"),
            ("Username: ", "root"),
            ("Password: ", PASSWORD),
            ("Repeat password: ", PASSWORD),
        ],
        **environment,
    )
    assert code == 0, screen
    assert PASSWORD not in screen
    credentials = {"email": "root@example.com", "password": PASSWORD}
    assert (await client.post("/auth/login", json=credentials)).status_code == 200


async def test_promotion_names_the_user_and_declining_changes_nothing(
    people: People, environment: dict[str, str], second: asyncpg.Connection
) -> None:
    await people.add(email="root@example.com", username="mallory")
    code, screen = plinth_at_terminal(
        *ROOT[:3], "--promote", answers=[("[y/N]: ", "n")], **environment
    )
    assert code == 1
    assert "root@example.com (not verified) is mallory" in screen
    assert not await second.fetchval("SELECT is_superuser FROM users")


async def test_new_user_is_counted_at_once(
    people: People, client: AsyncClient, environment: dict[str, str]
) -> None:
    reader = await people.enter(is_superuser=True)
    assert (await client.get("/users/", headers=reader.headers)).json()["total"] == 1
    made = plinth(*ROOT, "--password-env", "PW", PW=PASSWORD, **environment)
    assert made.returncode == 0, made.stderr
    assert (await client.get("/users/", headers=reader.headers)).json()["total"] == 2


def test_missing_option_is_named_without_a_terminal(
    environment: dict[str, str],
) -> None:
    for arguments, option in ((ROOT[:1], "--email"), (ROOT, "--password-env")):
        answer = plinth(*arguments, **environment)
        assert answer.returncode == 1
        assert option in answer.stderr


def test_password_cannot_be_an_argument() -> None:
    answer = plinth(*ROOT, "--password", PASSWORD)
    assert answer.returncode == 2
    assert "No such option" in answer.stderr


async def test_guessable_password_is_a_warning_only_in_development(
    environment: dict[str, str], database: Database, second: asyncpg.Connection
) -> None:
    strict = environment | {"ENVIRONMENT": "production"}
    refused = plinth(*ROOT, "--password-env", "PW", PW="Admin@123", **strict)
    assert refused.returncode == 1
    assert "password must not be a common password" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert await second.fetchval("SELECT count(*) FROM users") == 0
    made = plinth(*ROOT, "--password-env", "PW", PW="Admin@123", **environment)
    assert made.returncode == 0, made.stderr
    assert "PASSWORD_BLOCKLIST is warn" in made.stderr
    assert "Admin@123" not in made.stdout + made.stderr
