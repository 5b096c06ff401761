"""The language rules of scripts/prose.toml, held against sentences that this project once had."""

from pathlib import Path

import pytest

from scripts import check_prose
from tests.support.environment import ROOT

RULES = check_prose.load_rules(ROOT / "scripts" / "prose.toml")

BEFORE = (
    "Who waits for nobody stops nobody: in another order, neither would come to an end.",
    "What FastAPI stands around our middleware, and does nothing here, is left out.",
    "Where there is none, one is made.",
    "Whoever signs in again gets a new one.",
    "The route asks for a user as well.",
    "A device is told that it is known.",
    "Nor is what a machine does to a response for which nothing is done.",
    "The key stands in the row of its user.",
    "It is made anew for each request.",
    "Nobody is signed out, and somebody who waits is recognised.",
    "The rows of those who left are no more.",
    "Refusals and successes alike are counted.",
)
AFTER = (
    "`SKIP LOCKED` prevents a deadlock between concurrent batches.",
    "Run in an empty context so the query is attributed to the process, not to one request.",
    "Skip FastAPI's own middleware; ours already handles errors and bodies.",
    "A success response means the data is committed.",
    "What does a request cost?",
    "Return the rows that the caller may read.",
    "The function returns what the query found.",
    "Use `where` to filter, and `whoever` as you like in code.",
)
TEST_NAMES_BEFORE = (
    "who_asks_is_looked_up_by_keys_alone",
    "nobody_joins_a_query_that_was_sent",
    "the_walk_deletes_what_ended_long_ago_and_nothing_else",
    "it_is_remembered",
    "so_is_any_value",
    "odd_names_do_no_harm",
    "a_wrong_password_and_an_unknown_person_are_told_alike",
    "while_redis_is_away_half_of_each_figure_holds",
    "each_kind_opens_its_own_door_and_no_other",
    "a_value_is_made_once_and_for_each_argument",
    "what_an_older_version_kept_is_made_anew",
)
TEST_NAMES_AFTER = (
    "principal_lookup_uses_primary_keys_only",
    "request_does_not_join_a_query_already_sent",
    "cleanup_deletes_only_sessions_ended_before_the_retention_period",
    "total_is_cached",
    "wrong_password_and_unknown_email_get_the_same_response",
    "half_of_each_limit_applies_without_redis",
    "none_is_cached",
    "one_undecryptable_app_does_not_block_the_others",
    "a_code_is_accepted_once",
)


def find_advice(tmp_path: Path, text: str, name: str = "page.md") -> list[str]:
    page = tmp_path / name
    page.write_text(text)
    return [it.advice for it in check_prose.check_file(page, RULES)]


@pytest.mark.parametrize("sentence", BEFORE)
def test_a_banned_construction_is_found(tmp_path: Path, sentence: str) -> None:
    assert find_advice(tmp_path, f"# Title\n\nA first sentence. {sentence}\n")
    assert find_advice(tmp_path, f'"""{sentence}"""\n', "module.py")
    assert find_advice(tmp_path, f"x = 1  # {sentence}\n", "module.py")


@pytest.mark.parametrize("sentence", AFTER)
def test_plain_english_is_accepted(tmp_path: Path, sentence: str) -> None:
    assert find_advice(tmp_path, f"# Title\n\n{sentence}\n") == []


def test_messages_are_checked_and_code_is_not(tmp_path: Path) -> None:
    source = 'raise ValueError("who asks for it: whoever signs in")\nwhoever = {"alike": 1}\n'
    assert len(find_advice(tmp_path, source, "module.py")) == 2
    assert find_advice(tmp_path, "```py\n# whoever\n```\n`whoever`\n") == []


@pytest.mark.parametrize("name", TEST_NAMES_BEFORE)
def test_unclear_name_of_a_test_is_found(tmp_path: Path, name: str) -> None:
    for define in ("def", "async def"):
        assert find_advice(tmp_path, f"{define} test_{name}() -> None: ...\n", "module.py")
    assert find_advice(tmp_path, f"def {name}() -> None: ...\n", "module.py") == []


@pytest.mark.parametrize("name", TEST_NAMES_AFTER)
def test_plain_name_of_a_test_is_accepted(tmp_path: Path, name: str) -> None:
    assert find_advice(tmp_path, f"def test_{name}() -> None: ...\n", "module.py") == []


def test_a_comment_of_several_lines_is_one_text(tmp_path: Path) -> None:
    assert find_advice(tmp_path, "# The token is\n# told nothing.\n", "module.py")
    assert find_advice(tmp_path, "# The token.\n# Who has it may use it.\n", "module.py")


def test_an_old_name_is_found_in_code(tmp_path: Path) -> None:
    assert find_advice(tmp_path, "from plinth import wanted_of\n", "module.py") == [
        "is now list_params_for"
    ]


def test_a_finding_names_file_line_and_advice(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("One.\n\nIt is made anew.\n")
    (finding,) = check_prose.check_file(page, RULES)
    assert str(finding) == f"{page}:3: 'anew': write `again` or `new`"
