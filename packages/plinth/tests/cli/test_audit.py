"""`plinth audit verify`: its report on an audit log that was tampered with."""

import json
import re

import asyncpg
import pytest
import typer
from httpx2 import AsyncClient

from plinth.cli.audit.commands import parse_head
from plinth.testing.people import People
from tests.support.command import plinth
from tests.support.old_rows import load_events

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


@pytest.fixture
async def pruned(
    people: People,
    second: asyncpg.Connection,
    environment: dict[str, str],
) -> dict[str, str]:
    """Delete old events by the command, and return the settings."""
    await load_events(second, 1, count=12)
    await people.enter()
    kept = environment | {"EVENT_KEEP_DAYS": "30"}
    answer = plinth("db", "prune", **kept)
    assert answer.returncode == 0, answer.stderr
    assert re.search(r"^ +events +12$", answer.stdout, re.MULTILINE)
    return kept


async def test_events_deleted_by_retention_are_reported(
    pruned: dict[str, str], second: asyncpg.Connection
) -> None:
    newest = await second.fetchval("SELECT encode(hash, 'hex') FROM events WHERE id = 14")
    today = await second.fetchval(
        "SELECT (deleted_at AT TIME ZONE 'UTC')::date FROM event_checkpoints"
    )
    answer = plinth(*VERIFY, **pruned)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == (
        f"Events 1 to 12 were deleted on {today} by retention.\n"
        f"Verified events: 2\nHead: 14:{newest}\n"
    )
    found = json.loads(plinth(*VERIFY, "--json", "--expect", f"14:{newest}", **pruned).stdout)
    assert (found["events"], found["deleted_until"]) == (2, 12)
    assert found["deleted_at"].startswith(str(today))


async def test_checkpoint_is_signed_again_after_a_change_of_the_secret_key(
    pruned: dict[str, str],
) -> None:
    changed = pruned | {"SECRET_KEY": "another-key-of-at-least-32-bytes-4711"}
    fallback = changed | {"SECRET_KEY_FALLBACKS": json.dumps([pruned["SECRET_KEY"]])}
    assert plinth(*VERIFY, **changed).returncode == 1
    assert plinth(*VERIFY, **fallback).returncode == 0
    lost = plinth("keys", "reencrypt", **changed)
    assert "The signature of the checkpoint of the audit log is wrong" in lost.stdout
    done = plinth("keys", "reencrypt", **fallback)
    assert "Signed the checkpoint of the audit log with SECRET_KEY." in done.stdout
    assert plinth(*VERIFY, **changed).returncode == 0


async def test_checkpoint_of_a_lost_key_can_be_accepted(
    pruned: dict[str, str], second: asyncpg.Connection
) -> None:
    changed = pruned | {"SECRET_KEY": "another-key-of-at-least-32-bytes-4711"}
    refused = plinth("audit", "accept", **changed)
    assert (refused.returncode, "pass --yes" in refused.stderr) == (1, True)
    done = plinth("audit", "accept", "--yes", **changed)
    assert done.returncode == 0, done.stderr
    assert plinth(*VERIFY, **changed).returncode == 0
    last = await second.fetchrow("SELECT event, reason FROM events ORDER BY id DESC LIMIT 1")
    assert tuple(last) == ("events.checkpoint_accepted", "1 to 12")


async def test_nothing_is_accepted_without_a_checkpoint(
    log: str, environment: dict[str, str]
) -> None:
    answer = plinth("audit", "accept", "--yes", **environment)
    assert (answer.returncode, "There is no checkpoint" in answer.stderr) == (1, True)


@pytest.mark.parametrize("text", ["", "5", "5:", "5:abc", "x" * 64, "5:" + "a" * 65])
def test_head_is_parsed_with_or_without_its_number(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_head(text)
    assert parse_head("5:" + "A" * 64) == parse_head("a" * 64) == "a" * 64
