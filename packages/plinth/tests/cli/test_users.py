"""`plinth users`: import, export and erasure."""

import asyncio
import io
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.accounts.services.bulk import Line
from plinth.cli.failure import Failure
from plinth.cli.users.commands import Format
from plinth.cli.users.files import MAX_LINE_LENGTH, TOO_LONG, find_format, read_lines
from plinth.db.database import Database
from plinth.testing.people import PASSWORD, People, Person
from tests.support.command import COMMAND, plinth, plinth_at_terminal
from tests.support.environment import ROOT, bare_environment
from tests.support.factors import enroll
from tests.support.foreign_hashes import PBKDF2

HEADER = "email,username,full_name,hashed_password"
COUNT = "SELECT count(*) FROM users"
COPIED = (
    "SELECT sum(tuples_processed) FROM pg_stat_progress_copy WHERE datname = current_database()"
)


def read(text: str | bytes, kind: Format = Format.CSV) -> list[Line]:
    return list(read_lines(io.BytesIO(text if isinstance(text, bytes) else text.encode()), kind))


@contextmanager
def importing(text: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """An import that has read this input and waits for more."""
    command = [*COMMAND, "users", "import", "-", "--format", "csv"]
    given = bare_environment() | environment
    with subprocess.Popen(command, cwd=ROOT, env=given, stdin=subprocess.PIPE) as process:
        assert process.stdin
        try:
            process.stdin.write(text.encode())
            process.stdin.flush()
            yield process
        finally:
            process.kill()


async def test_imported_users_can_sign_in(
    people: People, environment: dict[str, str], second: asyncpg.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "users.csv"
    file.write_text(f'{HEADER}\nann@example.com,ann,"Lee, Ann",{PBKDF2}\nbob@example.com,bob,,\n')
    done = plinth("users", "import", str(file), **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Imported 2 users.\n"
    assert done.stderr == ""
    ann = await second.fetchrow("SELECT id, full_name FROM users WHERE username = 'ann'")
    assert ann["full_name"] == "Lee, Ann"
    await people.sign_in(Person(ann["id"], "ann@example.com", "ann"))


async def test_conflicts_are_reported_by_line_and_can_be_skipped(
    people: People, environment: dict[str, str], second: asyncpg.Connection
) -> None:
    await people.add(email="Ann@Example.com")
    rows = [{"email": f"{name}@example.com", "username": name} for name in ("ann", "bob", "bob")]
    lines = "\n".join(map(json.dumps, rows))
    command = ("users", "import", "-", "--format", "jsonl")
    settings = environment | {"LOGIN_FAILURE_MS": "0"}

    refused = plinth(*command, typed=lines, **settings)

    assert refused.returncode == 1
    assert refused.stderr.splitlines()[:2] == [
        "line 1: email: Email already registered",
        "line 3: email: the same as in line 2",
    ]
    assert refused.stderr.splitlines()[2].startswith("Nothing was imported: 2 problems.")
    assert await second.fetchval(COUNT) == 1

    hashed = (
        f'{lines}\n{{"email": "c@example.com", "username": "cat", "hashed_password": "{PBKDF2}"}}'
    )
    done = plinth(*command, "--skip-duplicates", typed=hashed, **settings)
    assert done.stdout == "Imported 2 users, skipped 2 lines.\n"
    assert "LOGIN_FAILURE_MS=0" in done.stderr
    assert await second.fetchval(COUNT) == 3


async def test_killed_import_changes_nothing_and_can_be_repeated(
    environment: dict[str, str], second: asyncpg.Connection, tmp_path: Path
) -> None:
    name = "n" * 250
    rows = [f"user{number}@example.com,user{number},{name}\n" for number in range(6000)]
    text = "email,username,full_name\n" + "".join(rows)
    # Several times the buffer of asyncpg (512 KiB), so that the server has received a part.
    with importing(text, environment) as process:
        for _ in range(600):
            if await second.fetchval(COPIED):
                break
            await asyncio.sleep(0.05)
        assert await second.fetchval(COPIED)
        process.kill()
        process.wait()
    assert await second.fetchval(COUNT) == 0

    file = tmp_path / "users.csv"
    file.write_text(text[: text.index("user200@")])
    done = plinth("users", "import", str(file), **environment)
    assert done.stdout == "Imported 200 users.\n", done.stderr


async def test_export_writes_all_users_to_a_private_file(
    people: People, environment: dict[str, str], second: asyncpg.Connection, tmp_path: Path
) -> None:
    ann = await people.add(full_name="Lee, Ann")
    file = tmp_path / "users.csv"
    done = plinth("users", "export", str(file), "--with-hashes", **environment)
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    (line,) = read(file.read_bytes())
    assert line.values["id"] == str(ann.id)
    assert line.values["full_name"] == "Lee, Ann"
    assert line.values["hashed_password"].startswith("$argon2id$")

    again = plinth("users", "export", str(file), **environment)
    assert again.returncode == 1
    assert "exists already" in again.stderr
    assert os.listdir(tmp_path) == [file.name]  # noqa: PTH208 - no draft is left

    shown = plinth("users", "export", "-", "--format", "jsonl", **environment)
    assert json.loads(shown.stdout)["email"] == ann.email
    assert "hashed_password" not in shown.stdout


async def test_erase_requires_confirmation(
    people: People,
    client: AsyncClient,
    environment: dict[str, str],
    second: asyncpg.Connection,
) -> None:
    ann = await people.enter()
    erase = ("users", "erase", ann.email.upper())
    unasked = plinth(*erase, **environment)
    assert unasked.returncode == 1
    assert "pass --yes" in unasked.stderr
    assert await second.fetchval(COUNT) == 1

    code, seen = plinth_at_terminal(*erase, answers=[("Continue?", "y")], **environment)

    assert code == 0, seen
    assert "Erased the account of user" in seen
    assert await second.fetchval(COUNT) == 0
    credentials = {"email": ann.email, "password": PASSWORD}
    assert (await client.post("/auth/login", json=credentials)).status_code == 401


async def test_doctor_reports_collisions_and_missing_canonical_addresses(
    people: People, environment: dict[str, str], second: asyncpg.Connection
) -> None:
    accounts = [await people.add(email=email) for email in ("änn@example.com", "ÄNN@example.com")]
    jose = await people.add(email="JOSÉ@example.com")
    assert doctor(environment) == (
        "doubtful",
        "1 account can sign in with the exact spelling of the address only",
    )

    for computed in (1, 0):
        done = plinth("users", "addresses", **environment)
        assert done.returncode == 0, done.stderr
        assert " ".join(done.stdout.split()) == (
            f"User {accounts[1].id} (ÄNN@example.com) can only sign in with this spelling, "
            f"because user {accounts[0].id} (änn@example.com) has the same address. "
            f"Addresses computed: {computed}. Accounts that collide: 1."
        )
    who = f"{accounts[1].id} (of user {accounts[0].id})"
    told = f"accounts have the address of another account in another spelling: {who}"
    assert doctor(environment) == ("doubtful", told)
    for person in (*accounts, replace(jose, email="José@example.com")):
        await people.sign_in(person)

    await second.execute("DELETE FROM users WHERE id = $1", accounts[0].id)
    assert doctor(environment) == (
        "doubtful",
        "1 account can sign in with the exact spelling of the address only",
    )
    plinth("users", "addresses", **environment)
    await people.sign_in(replace(accounts[1], email="änn@example.com"))
    assert doctor(environment) == ("fine", "no two accounts have the same address")


def doctor(environment: dict[str, str]) -> tuple[str, str]:
    """Return level and text of the check `addresses`."""
    checks = json.loads(plinth("doctor", "--json", **environment).stdout)["checks"]
    (found,) = (check for check in checks if check["name"] == "addresses")
    return found["level"], found["text"]


@pytest.mark.parametrize("wanted", ["JOSÉ@example.com", "josé@example.com"])
async def test_import_compares_canonical_addresses(
    people: People, environment: dict[str, str], tmp_path: Path, wanted: str
) -> None:
    await people.add(email="ann@bücher.example")
    file = tmp_path / "users.csv"
    rows = ["ANN@xn--bcher-kva.example,ann,,", "josé@example.com,joe,,", f"{wanted},other,,"]
    file.write_text("\n".join([HEADER, *rows]))
    refused = plinth("users", "import", str(file), **environment)
    assert "line 3: email: must contain only ASCII before the @" in refused.stderr
    refused = plinth("users", "import", str(file), SMTP_UTF8="true", **environment)
    assert refused.stderr.splitlines()[:2] == [
        "line 2: email: Email already registered",
        "line 4: email: the same as in line 3",
    ]


def test_csv_is_parsed_by_line_with_quotes_and_errors() -> None:
    names = "email,username\r\n"
    lines = read(f'\ufeff{names}a@b.c,"ann\nlee"\r\n\r\nonly\r\nx@y.z,xyz\r\n')
    assert lines == [
        Line(2, {"email": "a@b.c", "username": "ann\nlee"}),
        Line(5, error="has 1 cells for 2 columns"),
        Line(6, {"email": "x@y.z", "username": "xyz"}),
    ]
    (broken,) = read(f'{names}a,"b"c\n')
    assert broken.error is not None
    assert broken.error.startswith("is not valid CSV")


def test_json_lines_are_parsed_with_errors() -> None:
    lines = read('{"email": 1}\n\n{\n[]\n' + "[" * 100_000, Format.JSONL)
    assert lines[0] == Line(1, {"email": 1})
    assert [(line.number, line.error) for line in lines[1:]] == [
        (3, "is not valid JSON"),
        (4, "is not a JSON object"),
        (5, "is not valid JSON"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "lacks required columns: email, username"),
        ("username\n", "lacks required columns: email"),
        ("email,username,password\n", "Unknown columns: password"),
        ("email,username,email\n", "a column twice"),
        ("email;username\n", "use commas"),
        ("email\tusername\n", "use commas"),
        ("email,username\n".encode("utf-16"), "not UTF-8"),
        ("émail,username\n".encode("latin-1"), "not UTF-8"),
    ],
)
def test_unusable_file_is_refused_with_a_reason(content: str | bytes, said: str) -> None:
    with pytest.raises(Failure, match=said):
        read(content)


def test_invalid_utf8_is_reported_by_line_and_the_rest_is_read() -> None:
    many = b"".join(b"ann%d@example.com,ann%d\n" % (n, n) for n in range(5000))
    lines = read(b"\xef\xbb\xbfemail,username\n" + many + b"x@y.z,caf\xe9\n" + b"u@v.w,uvw\n")
    assert lines[-2:] == [
        Line(5002, error="is not UTF-8"),
        Line(5003, {"email": "u@v.w", "username": "uvw"}),
    ]
    lines = read(b'\xef\xbb\xbf{"email": "caf\xe9"}\n{"email": "caf\xc3\xa9"}\n', Format.JSONL)
    assert lines == [Line(1, error="is not UTF-8"), Line(2, {"email": "café"})]


def test_overlong_line_is_reported_with_bounded_memory() -> None:
    long = b'{"email": "' + b"x" * (4 * MAX_LINE_LENGTH) + b'"}\n'
    assert read(long + b'{"email": "a"}\n', Format.JSONL) == [
        Line(1, error=TOO_LONG),
        Line(2, {"email": "a"}),
    ]
    header = b"email,username\n"
    (told,) = read(header + b"a@b.c," + b"x" * (4 * MAX_LINE_LENGTH) + b"\n")
    assert (told.number, told.error) == (2, f"is not valid CSV: {TOO_LONG}. The rest was not read")
    (told,) = read(header + b'a@b.c,"' + b"x\n" * 200_000)
    assert told.number == 2, "where the quotes began"
    assert told.error is not None
    assert "field larger than field limit" in told.error


def test_duplicate_key_is_refused() -> None:
    (told,) = read('{"email": "a", "username": "b", "email": "c"}', Format.JSONL)
    assert told == Line(1, error="email: given twice")


def test_file_with_carriage_returns_is_parsed() -> None:
    assert read("email,username\ra@b.c,ann\rx@y.z,xyz") == [
        Line(2, {"email": "a@b.c", "username": "ann"}),
        Line(3, {"email": "x@y.z", "username": "xyz"}),
    ]


async def test_bare_number_is_not_a_timestamp_in_either_format(
    database: Database, environment: dict[str, str], second: asyncpg.Connection
) -> None:
    rows = (
        "email,username,created_at\na@example.com,ann,2024-02-29T12:00:00Z\nb@example.com,bob,2024"
    )
    refused = plinth("users", "import", "-", "--format", "csv", typed=rows, **environment)
    assert refused.returncode == 1
    assert refused.stderr.startswith("line 3: created_at: must be like 2026-12-31T23:59:59Z")
    row = json.dumps({"email": "a@example.com", "username": "ann", "created_at": 2024})
    refused = plinth("users", "import", "-", "--format", "jsonl", typed=row, **environment)
    assert refused.stderr.startswith(
        "line 1: created_at: must be a string like 2026-12-31T23:59:59Z"
    )
    assert await second.fetchval(COUNT) == 0


def test_format_follows_the_extension_or_the_option() -> None:
    assert find_format(Path("a.CSV"), None) is Format.CSV
    assert find_format(Path("a.ndjson"), None) is Format.JSONL
    assert find_format(Path("a.csv"), Format.JSONL) is Format.JSONL
    with pytest.raises(Failure, match="pass --format"):
        find_format(Path("-"), None)


async def test_reset_mfa_removes_the_second_factors_of_a_user(
    people: People,
    client: AsyncClient,
    environment: dict[str, str],
    second: asyncpg.Connection,
) -> None:
    ann = await people.enter()
    await enroll(client, second, ann)
    assert (await people.try_to_sign_in(ann)).json()["code"] == "mfa_required"

    done = plinth("users", "reset-mfa", ann.email, "--yes", **environment)

    assert done.returncode == 0, done.stderr
    assert f"Second factors of user {ann.id} removed: 1." in done.stdout
    assert (await client.get("/users/me", headers=ann.headers)).status_code == 401
    assert (await people.try_to_sign_in(ann)).status_code == 200
    recorded = await second.fetchval("SELECT reason FROM events WHERE event = 'factor.reset'")
    assert recorded == "1 factors"
    unknown = plinth("users", "reset-mfa", "nobody@example.com", "--yes", **environment)
    assert unknown.returncode == 1
