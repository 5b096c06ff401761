"""`plinth audit verify`: its report on an audit log that was tampered with."""

import json

import asyncpg
import pytest
import typer
from httpx2 import AsyncClient

from plinth.cli.audit.commands import parse_head
from plinth.testing.people import People
from tests.support.command import plinth

UNGUARDED = "SET session_replication_role = replica"  # an intruder with all privileges
SWAP_2_AND_3 = """
    UPDATE events SET id = 105 - id WHERE id IN (2, 3);
    UPDATE events SET id = id - 100 WHERE id > 100
"""
VERIFY = ("audit", "verify")
SIGN_INS = 5


@pytest.fixture
async def log(client: AsyncClient, people: People, second: asyncpg.Connection) -> str:
    """Record five events and return the hash of the last one."""
    ann = await people.add()
    for _ in range(SIGN_INS):
        await people.sign_in(ann)
    await second.execute(UNGUARDED)
    head: str = await second.fetchval("SELECT encode(hash, 'hex') FROM events WHERE id = 5")
    return head


async def test_valid_log_prints_its_head(
    log: str, people: People, second: asyncpg.Connection, environment: dict[str, str]
) -> None:
    await second.execute("RESET session_replication_role")
    await people.enter()  # later events do not affect an earlier head
    newest = await second.fetchval("SELECT encode(hash, 'hex') FROM events WHERE id = 6")
    answer = plinth(*VERIFY, "--expect", f"{SIGN_INS}:{log}", **environment)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"Verified events: 6\nHead: 6:{newest}\n"


@pytest.mark.parametrize(
    ("tampering", "sentence"),
    [
        (
            "UPDATE events SET reason = 'nothing' WHERE id = 3",
            "event 3 was changed or moved: its hash does not match",
        ),
        ("DELETE FROM events WHERE id = 3", "event 3 is missing; the next event is 4"),
        (
            SWAP_2_AND_3,
            "event 2 was changed or moved: its hash does not match",
        ),
    ],
    ids=["changed", "missing", "reordered"],
)
async def test_tampering_exits_with_1_and_names_the_event(
    log: str,
    second: asyncpg.Connection,
    environment: dict[str, str],
    tampering: str,
    sentence: str,
) -> None:
    await second.execute(tampering)
    answer = plinth(*VERIFY, **environment)
    assert answer.returncode == 1
    assert answer.stderr == f"The audit log was altered: {sentence}.\n"
    assert "Head:" in answer.stdout


async def test_truncation_is_detected_with_a_saved_head(
    log: str, second: asyncpg.Connection, environment: dict[str, str]
) -> None:
    await second.execute("DELETE FROM events WHERE id >= 4")
    newest = await second.fetchval("SELECT encode(hash, 'hex') FROM events WHERE id = 3")
    answer = plinth(*VERIFY, "--json", "--expect", log, **environment)
    assert answer.returncode == 1
    flaw = "the expected head is not in the chain"
    assert flaw in answer.stderr
    assert json.loads(answer.stdout) == {"events": 3, "head": f"3:{newest}", "flaw": flaw}


@pytest.mark.parametrize("text", ["", "5", "5:", "5:abc", "x" * 64, "5:" + "a" * 65])
def test_head_is_parsed_with_or_without_its_number(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_head(text)
    assert parse_head("5:" + "A" * 64) == parse_head("a" * 64) == "a" * 64
