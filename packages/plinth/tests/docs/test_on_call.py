"""docs/how-to/on-call.md quotes only messages, events, metrics and settings that exist."""

import ast
import re
from fnmatch import fnmatchcase

import asyncpg
import pytest

from plinth.config import Settings
from plinth.limits import Bucket
from tests.support.environment import LIBRARY, ROOT

PAGE = (ROOT / "docs/how-to/on-call.md").read_text()
PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
QUOTED = re.findall(r"`([^`\n]+)`", PROSE)
MESSAGES = [it for it in QUOTED if re.match(r"(the |KEYS_FILE |SMTP_HOST is|encrypted )", it)]
STATEMENTS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
SYMPTOMS = re.findall(
    r"^\| .* \| \[.*\]\(#([\w-]+)\) \|$", PAGE.partition("\n## ")[0], re.MULTILINE
)
OTHER_NAMES = {"SECRET_KEY", "MIGRATE_ON_START"}
FILES = {"app.log", "compose.yaml"}


@pytest.fixture(scope="module")
def texts() -> str:
    """All texts of the library, one a line."""
    return "\n".join(
        node.value
        for file in LIBRARY.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@pytest.mark.parametrize("message", MESSAGES)
def test_a_quoted_message_is_logged(texts: str, message: str) -> None:
    """Placeholders are `...` in the page and `%s` or a field in the source."""
    for part in re.split(r"\.\.\.|: |(?<=the )(?:database|cache)(?= (?:cannot|can))", message):
        if part := part.removeprefix("the ").strip(" :"):
            assert part in texts, f"no text of the library has {part!r}: bring the page up to date"


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_the_sql_is_valid(second: asyncpg.Connection, statement: str) -> None:
    transaction = second.transaction()
    await transaction.start()
    await second.execute(statement)
    await transaction.rollback()


def test_page_quotes_messages() -> None:
    assert len(MESSAGES) > 8


def test_metrics_and_alerts_exist() -> None:
    known = (ROOT / "docs/how-to/observability.md").read_text()
    names = set(re.findall(r"\b(plinth_\w+|Plinth[A-Z]\w+)", PROSE))
    assert (
        names - set(re.findall(r"\b(plinth_\w+|Plinth[A-Z]\w+)", known))
        == {"plinth_backend"} & names
    )


def test_settings_exist() -> None:
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)", PROSE))
    assert named - {*Settings.model_fields} - OTHER_NAMES == set()


def test_the_commands_that_reset_limits_match_their_keys() -> None:
    prefix = f"{Settings.model_fields['CACHE_PREFIX'].default}-limits:"
    keys = [prefix + Bucket.of(name, "5/5m").key for name in ("login-ip", "login-all-devices")]
    patterns = re.findall(r"--pattern ['\"](\S+)['\"]", PAGE)
    assert len(patterns) == 2
    assert all(fnmatchcase(key, it) for it in patterns for key in keys)


def test_mails_are_sent_again_of_a_bounded_time_only() -> None:
    (statement,) = (it for it in STATEMENTS if "SET dead_at = NULL" in it)
    assert "WHERE dead_at >" in statement
    assert statement in (ROOT / "docs/how-to/mail.md").read_text()


def test_events_exist(texts: str) -> None:
    events = {it for it in QUOTED if re.fullmatch(r"[a-z]+\.[a-z_]+", it)} - FILES
    assert events
    assert [it for it in events if f"\n{it}\n" not in texts] == []


def test_each_symptom_has_a_command_and_a_fix() -> None:
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    anchors = {re.sub(r"[^\w -]", "", it.lower()).replace(" ", "-"): it for it in sections}
    assert len(SYMPTOMS) == 11
    for symptom in SYMPTOMS:
        text = sections[anchors[symptom]]
        assert "**Symptom.**" in text
        assert "**First command" in text
        assert "fix" in text.lower()
