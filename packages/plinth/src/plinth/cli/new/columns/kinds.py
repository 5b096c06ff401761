"""The types of fields, and their form in tables, schemas and tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from plinth.cli.new.columns import defaults
from plinth.cli.new.columns.defaults import Default

MAX_INDEXED_LENGTH = 500
"""Characters. An entry of a B-tree has at most 2,704 bytes, and a character up to four."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type. `{size}` in its templates is the size that follows the type's name in a field.

    Attributes:
        hint: the Python type.
        column: the SQLAlchemy type in a model; "" if SQLAlchemy derives it from the hint.
        sa: the SQLAlchemy type in a migration.
        schema: the type in input schemas.
        default: parses a default value; raises ValueError.
        samples: two different values, as Python source code of JSON.
        bad: invalid values, likewise.
        filters: members of `FilterKind`.
        may_be_secret: whether a column of this type can contain a password or token.
        size: the default size; "" for a type without a size.
    """

    hint: str
    column: str
    sa: str
    schema: str
    default: Callable[[str], Default] | None
    samples: tuple[str, str]
    bad: tuple[str, ...]
    filters: tuple[str, ...] = ()
    is_sorted: bool = False
    is_indexed: bool = False
    is_text: bool = False
    may_be_secret: bool = False
    size: str = ""


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "str": Kind(
            hint="str",
            column="String({size})",
            sa="sa.String({size})",
            schema="",
            default=defaults.quoted,
            samples=('"One {column}"', '"Two {column}"'),
            bad=('"x" * ({size} + 1)', r'"a\x00b"', "5"),
            filters=("EQUALS",),
            is_sorted=True,
            is_text=True,
            may_be_secret=True,
            size="255",
        ),
        "text": Kind(
            hint="str",
            column="Text",
            sa="sa.Text()",
            schema="Text",
            default=defaults.quoted,
            samples=(r'"One {column}\nof two lines"', r'"Two {column}\nof two lines"'),
            bad=(r'"a\x00b"', "5"),
            is_text=True,
            may_be_secret=True,
        ),
        "int": Kind(
            hint="int",
            column="",
            sa="sa.BigInteger()",
            schema="BigInt",
            default=defaults.integer,
            samples=("3", "5"),
            bad=('"x"', "1.5", "2**63", "True"),
            filters=("EQUALS", "RANGE"),
            is_sorted=True,
        ),
        "float": Kind(
            hint="float",
            column="",
            sa="sa.Float()",
            schema="Finite",
            default=defaults.floating,
            samples=("1.5", "2.5"),
            bad=('"x"', '"NaN"', "10**400", "True"),
            filters=("RANGE",),
            is_sorted=True,
        ),
        "decimal": Kind(
            hint="Decimal",
            column="Numeric({size})",
            sa="sa.Numeric({size})",
            schema="",
            default=defaults.exact,
            samples=("", ""),
            bad=('"x"', '"NaN"', '"1E+99"', "True"),
            filters=("EQUALS", "RANGE"),
            is_sorted=True,
            size="12,2",
        ),
        "bool": Kind(
            hint="bool",
            column="",
            sa="sa.Boolean()",
            schema="Bool",
            default=defaults.truth,
            samples=("True", "False"),
            bad=('"true"', "1"),
            filters=("EQUALS",),
        ),
        "date": Kind(
            hint="date",
            column="",
            sa="sa.Date()",
            schema="Date",
            default=defaults.day,
            samples=('"2026-03-14"', '"2026-03-15"'),
            bad=('"2026-02-30"', '"tomorrow"'),
            filters=("EQUALS", "RANGE"),
            is_sorted=True,
        ),
        "datetime": Kind(
            hint="datetime",
            column="",
            sa="sa.DateTime(True)",
            schema="DateTime",
            default=defaults.moment,
            samples=('"2026-03-14T09:00:00Z"', '"2026-03-15T09:00:00Z"'),
            bad=('"2026-03-14T09:00:00"', '"now"'),
            filters=("RANGE",),
            is_sorted=True,
        ),
        "uuid": Kind(
            hint="UUID",
            column="",
            sa="sa.Uuid()",
            schema="UUID",
            default=defaults.identifier,
            samples=(
                '"3f0c2f0e-0f5b-4f43-9d62-6a4a37c1a001"',
                '"3f0c2f0e-0f5b-4f43-9d62-6a4a37c1a002"',
            ),
            bad=('"x"', "5"),
            filters=("EQUALS",),
            is_indexed=True,
            may_be_secret=True,
        ),
        "json": Kind(
            hint="dict[str, Any]",
            column="JSONB",
            sa="postgresql.JSONB()",
            schema="JsonObject",
            default=defaults.document,
            samples=('{{"one": [1, None]}}', '{{"two": "x"}}'),
            bad=('"x"', "[]", r'{{"a": "\x00"}}'),
            may_be_secret=True,
        ),
        "ref": Kind(
            hint="int",
            column="",
            sa="sa.BigInteger()",
            schema="RowRef",
            default=None,
            samples=("", ""),
            bad=('"x"', "0", "2**63", "True"),
            filters=("EQUALS",),
            is_indexed=True,
        ),
    }
)
