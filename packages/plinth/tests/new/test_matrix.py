"""Combinations of the options of `plinth new` pass their checks, or are refused with a message.

`make test-new-matrix` runs all of them, `make test-new` a sample that covers each pair of values.

The tests of a module share one checkout and run in the order in which they stand.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, UniqueConstraint

from plinth.cli.failure import Failure
from plinth.cli.new.design import design
from tests.new import matrix
from tests.new.conftest import BIN, CHEAP_RULES, IS_WHOLE, OF_SOURCES, Checkout, check
from tests.support.measured import Measured

WRITTEN = matrix.accepted() if IS_WHOLE else matrix.sample()
Commands = Sequence[Sequence[str]]
COMMANDS: Commands = [
    *matrix.packed(WRITTEN),
    matrix.quoted(),
    *(matrix.alone() if IS_WHOLE else ()),
]
IN_A_ROUND = 20
ROUNDS = [COMMANDS[at : at + IN_A_ROUND] for at in range(0, len(COMMANDS), IN_A_ROUND)]
CHECKS = ("ruff check .", "ruff format --check .", "lint-imports", "mypy")

# Many commands in one process: importing the application takes longer than a command.
RUN_ALL = """
import json, sys
from plinth.cli.commands import plinth
for arguments in json.load(sys.stdin):
    print("$ plinth", *arguments, file=sys.stderr)
    plinth(arguments, standalone_mode=False)
"""


def existing_tables() -> Mapping[str, Table]:
    """As `matrix.TABLES` makes them."""
    apart = MetaData()

    def table(name: str, *columns: str, **options: bool) -> Table:
        private = [UniqueConstraint("id", "owner_id")] if options else []
        return Table(name, apart, *(Column(it, BigInteger) for it in ("id", *columns)), *private)

    table("users")
    table("genres", "version")
    table("reviews", "version", "owner_id")
    table("albums", "version", "owner_id", is_private=True)
    table("ledgers", "version")
    ledgers = apart.tables["ledgers"]
    ledgers.append_column(Column("organization_id", BigInteger, info={"tenant": True}))
    return dict(apart.tables)


def options_of(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the keyword arguments of `design` for a command line."""
    given = list(arguments)
    found: dict[str, Any] = {"plural": None, "search": None, "secret": None, "unique": []}
    found |= {it: f"--{it}" in given for it in ("owned", "public", "org")}
    for option, value in pairwise(given):
        if option == "--unique":
            found["unique"].append(value)
        elif option in ("--plural", "--search", "--secret"):
            found[option.removeprefix("--")] = value
    return found


def test_invalid_combinations_are_refused_with_a_message(measured: Measured) -> None:
    tables = existing_tables()
    everything = matrix.all_combinations()
    for combination in everything:
        name, *rest = matrix.command("lone", [combination])
        specs = rest[: rest.index("--plural")]
        found = refusal_of(name, specs, tables, options_of(rest))
        if not combination.refusals:
            assert found is None, combination
        else:
            assert found is not None, combination
            assert any(part in found for part in combination.refusals), (combination, found)
    accepted = matrix.accepted()
    measured(
        f"plinth new: {len(accepted)} of {len(everything)} combinations are accepted, "
        f"{len(everything) - len(accepted)} refused; written here: {len(WRITTEN)} in "
        f"{len(COMMANDS)} resources, {len(ROUNDS)} rounds"
    )


def refusal_of(
    name: str, specs: Sequence[str], tables: Mapping[str, Table], options: Mapping[str, Any]
) -> str | None:
    try:
        design(name, specs, tables, **options)
    except Failure as failure:
        return str(failure)
    return None


def run_all(checkout: Checkout, commands: Sequence[Sequence[str]]) -> str:
    return check(checkout.run(BIN / "python", "-c", RUN_ALL, given=json.dumps(commands)))


def test_referenced_tables_are_written(checkout: Checkout) -> None:
    for name, arguments in matrix.TABLES.items():
        check(checkout.plinth("new", name, *arguments.split()))
    checkout.commit("tables")


def write(checkout: Checkout, commands: Commands) -> None:
    run_all(checkout, [["new", *command] for command in commands])
    assert "Nothing to do" in run_all(checkout, [["new", *commands[0]]])


def run_checks(checkout: Checkout, commands: Commands) -> None:
    for line in CHECKS:
        program, *arguments = line.split()
        check(checkout.run(BIN / program, *arguments))


def run_their_tests(checkout: Checkout, commands: Commands) -> None:
    tests = [f"tests/api/test_{command[command.index('--plural') + 1]}.py" for command in commands]
    tests += ["packages/plinth/tests/new/column_defaults.py"]
    check(checkout.pytest("-n", "2", *tests))


def migrate(checkout: Checkout, commands: Commands) -> None:
    check(checkout.pytest("-n", "2", "-k", CHEAP_RULES, "tests/test_contract.py", *OF_SOURCES))


def remove(checkout: Checkout, commands: Commands) -> None:
    try:
        run_all(checkout, [["remove", command[0], "--yes"] for command in reversed(commands)])
        assert check(checkout.run("git", "status", "--short")) == ""
    finally:  # a failed round must not affect the next one
        check(checkout.run("git", "reset", "--hard", "--quiet"))
        check(checkout.run("git", "clean", "-dfq"))


STEPS = (write, run_checks, run_their_tests, migrate, remove)


@pytest.mark.parametrize(
    ("commands", "step"),
    [
        pytest.param(commands, step, id=f"{commands[0][0]} to {commands[-1][0]}: {step.__name__}")
        for commands in ROUNDS
        for step in STEPS
    ],
)
def test_written_resources_pass_their_checks(
    checkout: Checkout, commands: Commands, step: Callable[[Checkout, Commands], None]
) -> None:
    step(checkout, commands)
