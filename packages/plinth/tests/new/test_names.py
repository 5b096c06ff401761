"""Names with a meaning in Python, SQL, Pydantic, SQLAlchemy or the generated code.

Each is accepted and passes its checks, or is refused with a message, and no file is written.

The tests of this module share one checkout and run in order.
"""

import json
from itertools import cycle

from tests.new.conftest import BIN, CHEAP_RULES, IS_WHOLE, OF_SOURCES, Checkout, check

RESOURCES = (
    # reserved words of SQL, soft keywords of Python
    *("order", "group", "select", "where", "column", "value", "default", "match", "case"),
    # plurals, and words that look like plurals
    *("tickets", "news", "series", "status", "address", "box", "person", "data", "sheep", "bus"),
    *("work_item", "line_item2", "item2", "oauth2_client"),
    # names in the generated modules, in another spelling
    *("date", "datetime", "uuid", "json", "query", "client", "owner", "stranger", "second", "rows"),
    *("one", "make", "copy", "changes", "reading", "cursor", "model", "schema", "note_create"),
    *("settings", "config", "app", "api", "test", "error", "export", "public", "private"),
    *("token", "password", "secret", "metadata", "registry", "enum", "row", "result"),
)
REFUSED_RESOURCES = {
    **dict.fromkeys(("class", "lambda", "from", "import", "async"), "is a keyword of Python"),
    **dict.fromkeys(("type", "filter", "list", "input", "property"), "is a built-in function"),
    **dict.fromkeys(("none", "exception"), "a word of Python"),
    **dict.fromkeys(("item_2", "a_b"), "would have the same class"),
    **dict.fromkeys(("table", "index", "text", "field", "response"), "for two things"),
    **dict.fromkeys(("db", "router", "superuser", "several", "crud"), "for two things"),
    "idempotency": "for two things",
    **dict.fromkeys(("idempotent_request", "row_id", "not_found", "sequence"), "for two things"),
    **dict.fromkeys(("base_model", "page"), "for two things"),
    **dict.fromkeys(("base", "user"), "exists with different content"),
    "session": "the table sessions exists",
    "Note": "is not in snake_case",
    "work__item": "two underscores",
    "x" * 41: "is longer than 40 characters",
}
COLUMNS = (
    # the parameters of every list
    *("q", "sort", "limit", "cursor", "skip", "total"),
    # reserved words of SQL, soft keywords of Python
    *("user", "order", "group", "type", "table", "select", "where", "column", "key", "value"),
    *("check", "primary", "default", "match", "case", "left", "right", "like", "all", "any", "end"),
    *("desc", "offset", "of", "new", "old", "to", "window", "array", "on", "between", "values"),
    *("time", "timestamp", "interval", "position", "char", "natural", "authorization"),
    # types and functions of Python, also in annotations
    *("date", "datetime", "text", "list", "set", "uuid", "decimal", "string", "line", "bytes"),
    *("object", "property", "filter", "input", "super", "none", "exception", "hash"),
    # names in the generated code and its libraries
    *("count", "index", "items", "keys", "name", "fields", "base", "mapped", "query", "session"),
    *("cls", "searched", "listing", "config_dict", "string_constraints", "annotated"),
    *("big_int", "row_ref", "missing", "model_name", "create", "eq", "gte", "null", "page", "size"),
    *("next", "prev", "line_1", "address2", "a_b", "oid", "detail", "errors", "id_ref"),
)
REFUSED_COLUMNS = {
    **dict.fromkeys(("id", "owner_id", "created_at", "updated_at", "version"), "every table has"),
    **dict.fromkeys(("metadata", "registry"), "is an attribute of every SQLAlchemy model"),
    **dict.fromkeys(
        ("copy", "json", "schema", "validate"), "is an attribute of every Pydantic model"
    ),
    **dict.fromkeys(("model_config", "model_dump_x"), "is an attribute of every Pydantic model"),
    **dict.fromkeys(("ctid", "xmin", "tableoid"), "is a system column of PostgreSQL"),
    **dict.fromkeys(("int", "str", "float", "bool"), "is a type that the model's annotations need"),
    **dict.fromkeys(("class", "lambda", "from", "is", "with"), "is a keyword of Python"),
    "self": "is a parameter of every model's constructor",
    "note_create": "for two things",
    "total__eq": "two underscores",
}
TYPES = ("str:20", "int", "date", "datetime?", "decimal", "bool=true", "uuid", "text?")
IN_A_TABLE = 14

TRY_ALL = """
import json, sys
from plinth.cli.commands import plinth
from plinth.cli.failure import Failure
said = {}
for name, arguments in json.load(sys.stdin).items():
    try:
        plinth(["new", *arguments], standalone_mode=False)
        said[name] = ""
    except Failure as failure:
        said[name] = str(failure)
print(json.dumps(said), file=sys.stderr)
"""


def try_all(checkout: Checkout, commands: dict[str, list[str]]) -> dict[str, str]:
    """Return the error message of each command; empty if the command succeeds."""
    done = checkout.run(BIN / "python", "-c", TRY_ALL, given=json.dumps(commands))
    check(done)
    said: dict[str, str] = json.loads(done.stderr.splitlines()[-1])
    return said


def tables() -> list[list[str]]:
    """Return the arguments of commands that cover each column name, with rotating types."""
    found = []
    for start in range(0, len(COLUMNS), IN_A_TABLE):
        columns = dict(zip(COLUMNS[start : start + IN_A_TABLE], cycle(TYPES), strict=False))
        texts = [name for name, kind in columns.items() if kind in ("str:20", "text?")]
        name = f"wide{chr(ord('a') + start // IN_A_TABLE)}"
        options = ["--plural", f"{name}s", "--owned", "--search", ",".join(texts)]
        options += [
            "--unique",
            texts[0],
            *(["--shown", "hash"] if "hash" in columns else []),
        ]
        found.append([name, *map(":".join, columns.items()), *options])
    return found


def test_unusable_name_is_refused_and_nothing_is_written(checkout: Checkout) -> None:
    resources = {name: [name, "title:str:20"] for name in REFUSED_RESOURCES}
    columns = {f"note.{name}": ["note", "title:str", f"{name}:str:20"] for name in REFUSED_COLUMNS}
    said = try_all(checkout, resources | columns)
    expected = REFUSED_RESOURCES | {f"note.{name}": why for name, why in REFUSED_COLUMNS.items()}
    wrong = {name: said[name] for name, why in expected.items() if why not in said[name]}
    assert wrong == {}
    assert check(checkout.run("git", "status", "--short")) == ""


def test_other_names_are_accepted(checkout: Checkout) -> None:
    commands = {name: [name, "title:str:20"] for name in RESOURCES}
    commands |= {arguments[0]: arguments for arguments in tables()}
    said = try_all(checkout, commands)
    assert {name: why for name, why in said.items() if why} == {}


def test_resources_with_these_names_pass_their_checks(checkout: Checkout) -> None:
    for command in ("ruff check .", "ruff format --check .", "lint-imports", "mypy"):
        program, *arguments = command.split()
        check(checkout.run(BIN / program, *arguments))


def test_resources_with_these_names_pass_their_tests(checkout: Checkout) -> None:
    """Of resources whose name alone is tried, and without NEW_MATRIX=whole of all, some tests."""
    written = check(checkout.run("git", "ls-files", "-o", "--exclude-standard", "tests")).split()
    wide = [name for name in written if "test_wide" in name]
    some = () if IS_WHOLE else ("-k", "create_and_read or filter or search or sort")
    check(checkout.pytest("-n", "2", *some, *wide))
    few = "create_and_read or not_found or only_superusers or bulk"
    check(checkout.pytest("-n", "2", "-k", few, *(name for name in written if name not in wide)))
    check(checkout.pytest("-n", "2", "-k", CHEAP_RULES, "tests/test_contract.py", *OF_SOURCES))
