"""`plinth keys`, and servers that run during its use."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer
from httpx2 import AsyncClient, ConnectError
from typer.testing import CliRunner

from plinth.cli import commands
from plinth.cli.doctor import Level
from plinth.cli.doctor.values import check_keys
from plinth.cli.failure import Failure
from plinth.cli.keys.commands import parse_duration
from plinth.config import settings
from plinth.testing.people import People, Person
from tests.support.command import find_free_port, plinth, start_plinth
from tests.support.forging import decode

PATIENCE = 30  # seconds


@pytest.fixture
def with_file(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return environment | {"KEYS_FILE": str(tmp_path / "keys.json"), "LIMITS_ENABLED": "false"}


@pytest.fixture
def server(with_file: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """Start a server with two workers and yield its URL."""
    port = find_free_port()
    log = tmp_path / "log"
    process = start_plinth("serve", "--port", str(port), "--workers", "2", log=log, **with_file)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "keys.json"
    monkeypatch.setattr(settings, "KEYS_FILE", path)
    return path


def run(*arguments: str) -> str:
    """Run `plinth keys` in this process and return its output."""
    answer = CliRunner().invoke(commands.plinth, ["keys", *arguments], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.output


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("list", "--json"))
    return found


def test_keys_are_rotated_listed_exported_and_revoked(file: Path) -> None:
    said = run("rotate", "--alg", "EdDSA", "--after", "0s")
    said += run("rotate")

    keys = listed()
    assert [(key["alg"], key["state"]) for key in keys] == [
        ("EdDSA", "next"),  # the newest; not used until verifiers have its public part
        ("EdDSA", "signs"),
        ("HS256", "verifies"),
    ]
    exported = json.loads(run("export-jwks"))["keys"]
    assert {key["kid"] for key in exported} == {key["kid"] for key in keys[:2]}
    said += run("list") + run("list", "--json") + run("export-jwks")
    assert all(key["kid"] in said for key in keys)
    content = json.loads(file.read_text())["keys"]
    secrets = [key[name] for key in content for name in ("d", "k") if name in key]
    assert len(secrets) == 3
    assert not [secret for secret in [*secrets, settings.SECRET_KEY] if secret in said]

    with pytest.raises(Failure, match="--yes"):
        run("revoke", keys[2]["kid"])
    run("revoke", keys[2]["kid"], "--yes")
    assert listed() == keys[:2]


def test_doctor_finds_a_key_file_that_cannot_be_used(file: Path) -> None:
    assert check_keys(settings).level is Level.BROKEN
    run("rotate")
    assert check_keys(settings).level is Level.FINE
    file.write_text("{}")
    assert check_keys(settings).level is Level.BROKEN


def test_the_first_rotation_keeps_the_algorithm(file: Path) -> None:
    run("rotate")
    assert [(key["alg"], key["state"]) for key in listed()] == [
        (settings.ALGORITHM, "signs"),
        (settings.ALGORITHM, "verifies"),
    ]


def test_errors_are_reported(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failure, match="plinth keys rotate"):
        run("list")
    file.write_text("{}")
    with pytest.raises(Failure, match="is not a set of signing keys"):
        run("rotate")
    monkeypatch.setattr(settings, "KEYS_FILE", None)
    with pytest.raises(Failure, match="KEYS_FILE is not set"):
        run("rotate")


@pytest.mark.parametrize("text", ["10", "m", "-1s", "1d", "25h", "1.5h", "1h30m", ""])
def test_duration_needs_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_duration(text)
    assert [parse_duration(fine) for fine in ("0s", "90s", "10m", "24h")] == [0, 90, 600, 86400]


async def test_running_servers_load_a_rotation_without_refusing_tokens(
    server: str, with_file: dict[str, str], people: People, second: asyncpg.Connection
) -> None:
    person = await people.add()
    each_anew = {"Connection": "close"}  # so that different workers respond
    async with AsyncClient(
        base_url=f"{server}/api/v1", headers=each_anew, timeout=PATIENCE
    ) as client:
        await wait_until_up(client)
        visitors = People(client, second)
        before = await visitors.sign_in(person)

        rotated = await asyncio.to_thread(
            plinth, "keys", "rotate", "--alg", "ES256", "--after", "0s", **with_file
        )
        new = rotated.stdout.split()[0]

        async with asyncio.timeout(PATIENCE):
            while kid_of(after := await visitors.sign_in(person)) != new:
                await check_accepted(client, before, after)
                await asyncio.sleep(0.05)  # far from SESSIONS_PER_USER, which would end `before`
        for _ in range(20):  # on each worker
            await check_accepted(client, before, after)
        async with asyncio.timeout(PATIENCE):  # until each worker has read the file again
            while await published(client, server) != [new]:
                await check_accepted(client, before, after)


async def published(client: AsyncClient, server: str) -> list[str]:
    answer = await client.get(f"{server}/.well-known/jwks.json")
    return [key["kid"] for key in answer.json()["keys"]]


async def check_accepted(client: AsyncClient, *visitors: Person) -> None:
    for visitor in visitors:
        answer = await client.get("/users/me", headers=visitor.headers)
        assert answer.status_code == 200, answer.text


def kid_of(person: Person) -> str:
    kid: str = json.loads(decode(person.tokens["access_token"].partition(".")[0]))["kid"]
    return kid


async def wait_until_up(client: AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await client.get("/health")
            except ConnectError:
                await asyncio.sleep(0.05)
            else:
                return
