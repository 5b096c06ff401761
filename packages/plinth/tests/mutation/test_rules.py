"""The rules match the code. `make mutants` removes them one at a time."""

from collections import Counter

import pytest

from tests.mutation.rules import Rule, load_rules

RULES = load_rules()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_matches_the_current_code(rule: Rule) -> None:
    assert rule.find_fault() is None, "update its entry in tests/mutation/rules"
    assert rule.old != rule.new


def test_rules_are_at_least_60_with_unique_names() -> None:
    names = Counter(rule.name for rule in RULES)
    assert len(names) >= 60
    assert [name for name, times in names.items() if times > 1] == []
    edits = Counter((rule.file, rule.old, rule.new) for rule in RULES)
    assert [edit for edit, times in edits.items() if times > 1] == []
