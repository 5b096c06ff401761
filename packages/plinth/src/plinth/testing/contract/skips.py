"""Exceptions of an application: `SKIPPED` in the test module that imports the contract suite."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import pytest

from plinth.testing.operations import find_operations


def find_skipped(request: pytest.FixtureRequest) -> Mapping[str, str]:
    return getattr(request.module, "SKIPPED", {})


@pytest.fixture(autouse=True)
def skip_listed_rule(request: pytest.FixtureRequest) -> None:
    skipped = find_skipped(request)
    rule = request.function.__name__
    parameters: Mapping[str, Any] = getattr(getattr(request.node, "callspec", None), "params", {})
    for name in (rule, f"{rule}[{parameters.get('operation')}]"):
        if name in skipped:
            pytest.skip(f"{name}: {skipped[name]}")


def test_each_skip_names_a_rule_and_a_reason(request: pytest.FixtureRequest) -> None:
    routes = [str(operation) for operation in find_operations()]
    rules = {name: it for name, it in vars(request.module).items() if name.startswith("test_")}
    names = {*rules}
    for rule, function in rules.items():
        if "operation" in signature(function).parameters:
            names |= {f"{rule}[{route}]" for route in routes}
    skipped = find_skipped(request)
    assert {*skipped} <= names, (
        f"SKIPPED names no existing rule or route: {sorted({*skipped} - names)}. Write RULE or "
        "RULE[METHOD /path] as pytest prints it, and remove obsolete entries."
    )
    assert [name for name, reason in skipped.items() if not reason.strip()] == [], (
        "give each entry of SKIPPED a reason"
    )
