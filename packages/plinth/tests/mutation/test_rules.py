"""The rules match the code. `make mutants` removes them one at a time."""

from collections import Counter

import pytest

from tests.mutation.rules import Rule, load_rules

RULES = load_rules()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_can_be_removed_from_the_code_as_it_is(rule: Rule) -> None:
    assert rule.find_fault() is None, "update its entry in tests/mutation/rules"
    assert rule.old != rule.new


def test_there_are_at_least_sixty_rules_of_different_names() -> None:
    names = Counter(rule.name for rule in RULES)
    assert len(names) >= 60
    assert [name for name, times in names.items() if times > 1] == []
    edits = Counter((rule.file, rule.old, rule.new) for rule in RULES)
    assert [edit for edit, times in edits.items() if times > 1] == []
