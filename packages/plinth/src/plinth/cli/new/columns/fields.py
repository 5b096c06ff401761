"""Parse a field of `plinth new`: `name:type[:length or table][?][=default]`."""

import builtins
import keyword
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from math import inf

from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from plinth.cli.failure import Failure
from plinth.cli.new.columns.defaults import Default, literal
from plinth.cli.new.columns.kinds import KINDS, MAX_INDEXED_LENGTH, Kind
from plinth.cli.new.words import check_column_name, class_name
from plinth.db.models import sounds_secret
from plinth.resources.listing import equality_parameter

SPEC = re.compile(
    r"(?P<name>[^:=?]+):(?P<type>[a-z]+)(:(?P<more>[^?=]+))?(?P<optional>\?)?(=(?P<default>.*))?",
    re.DOTALL,
)
IN_SCHEMAS = {
    *("Annotated", "Any", "BaseModel", "BigInt", "Bool", "ConfigDict", "Date", "DateTime"),
    *("Decimal", "Field", "Finite", "JsonObject", "Line", "PlainDecimal", "RowRef"),
    *("StringConstraints", "Text"),
}
MAX_PLAIN_PLACES = 6  # Python formats a decimal with more places with an exponent: 1E-7
MAX_SIZES = {"str": 10_000, "decimal": 30}


@dataclass(frozen=True)
class Field:
    """
    Attributes:
        name: as typed; the column of a reference is the name with `_id`.
        size: the length of a str, or the digits of a decimal such as "12,2".
        table: the target of a reference.
        is_secret: no response, filter or search contains it.
    """

    name: str
    kind: Kind
    size: str
    table: str | None
    is_optional: bool
    default: Default | None
    is_secret: bool = False

    @cached_property
    def column(self) -> str:
        return f"{self.name}_id" if self.table else self.name

    @cached_property
    def hint(self) -> str:
        return f"{self.kind.hint} | None" if self.is_optional else self.kind.hint

    @cached_property
    def shown_as(self) -> str:
        """The type in responses."""
        if self.kind is KINDS["decimal"] and int(self.size.split(",")[1]) > MAX_PLAIN_PLACES:
            return self.hint.replace("Decimal", "PlainDecimal")
        return self.hint

    @cached_property
    def alias(self) -> str | None:
        """The name of the type that the schemas share; None if it has no size."""
        if not self.size:
            return None
        name = class_name(self.name)
        is_taken = name in IN_SCHEMAS or hasattr(builtins, name) or keyword.iskeyword(name)
        return f"{name}Value" if is_taken else name

    @cached_property
    def schema(self) -> str:
        return self.alias or self.kind.schema

    @cached_property
    def rules(self) -> str:
        """The definition of the type named `alias`."""
        if self.kind is KINDS["decimal"]:
            digits, places = self.size.split(",")
            return (
                f"Annotated[Decimal, Field(max_digits={digits}, decimal_places={places}), "
                f"padded({places})]"
            )
        minimum = "" if self.takes_empty else "min_length=1, "
        return f"Annotated[Line, StringConstraints({minimum}max_length={self.size})]"

    @cached_property
    def takes_empty(self) -> bool:
        return self.default is not None and self.default.json == '""'

    @cached_property
    def sa(self) -> str:
        return self.kind.sa.format(size=self.size.replace(",", ", "))

    @cached_property
    def arguments(self) -> list[str]:
        """The arguments of `mapped_column`."""
        column = self.kind.column.format(size=self.size.replace(",", ", "))
        arguments = [column, self._server_default()]
        if self.is_indexed:
            arguments.append("index=True")
        if self.is_secret:
            arguments.append('info={"secret": True}')
        elif self.sounds_secret:
            arguments.append('info={"secret": False}')
        return list(filter(None, arguments))

    @cached_property
    def options(self) -> list[str]:
        """The arguments of `sa.Column`, after the name and the type."""
        return [*filter(None, [self._server_default("sa.")]), f"nullable={self.is_optional}"]

    def _server_default(self, prefix: str = "") -> str:
        """Return "" for a nullable column, where SQLAlchemy would insert it instead of a null."""
        if self.default is None or self.is_optional:
            return ""
        source = literal(self.default.server)
        if "'" in self.default.server:  # Alembic's comparison does not quote it in a plain string
            source = f"{prefix}literal({source})"
        return f"server_default={source}"

    @cached_property
    def sounds_secret(self) -> bool:
        return self.kind.may_be_secret and sounds_secret(self.column)

    @cached_property
    def is_indexed(self) -> bool:
        return self.kind.is_indexed

    @cached_property
    def is_sorted(self) -> bool:
        return self.kind.is_sorted and self.fits_index and not self.is_secret

    @cached_property
    def fits_index(self) -> bool:
        return not self.kind.is_text or (bool(self.size) and int(self.size) <= MAX_INDEXED_LENGTH)

    @cached_property
    def values(self) -> float:
        """The number of different values."""
        if self.kind is KINDS["bool"]:
            return 2
        return 10 ** int(self.size.split(",")[0]) if self.kind is KINDS["decimal"] else inf

    @cached_property
    def filters(self) -> list[str]:
        if not self.kind.filters or not self.fits_index or self.is_secret:
            return []
        return [*self.kind.filters, *(["NULL"] if self.is_optional else [])]

    @cached_property
    def parameter(self) -> str:
        """The query parameter that filters by value."""
        return equality_parameter(self.column)

    @property
    def is_renamed(self) -> bool:
        return self.parameter != self.column

    @property
    def quoted_column(self) -> str:
        return f'"{self.column}"' if self.column in RESERVED_WORDS else self.column

    @cached_property
    def samples(self) -> tuple[str, str]:
        """Two different values, as Python source code of JSON."""
        if self.kind is KINDS["decimal"]:
            places = int(self.size.split(",")[1])
            return f'"{Decimal(1).scaleb(-places):f}"', f'"{Decimal(2).scaleb(-places):f}"'
        first, second = (text.format(column=self._words) for text in self.kind.samples)
        if self.size:
            return tuple(f'"{text[1:-1][: int(self.size)].strip()}"' for text in (first, second))  # type: ignore[return-value]
        return first, second

    @cached_property
    def bad(self) -> list[str]:
        """Invalid values, likewise."""
        if self.kind is KINDS["decimal"]:
            places = int(self.size.split(",")[1])
            values = [*self.kind.bad, f'"{Decimal(1).scaleb(-places - 1):f}"']
            return values if self.is_optional else [*values, "None"]
        values = [text.format(size=self.size) for text in self.kind.bad]
        if self.size and not self.takes_empty:
            values.insert(0, '""')
        return values if self.is_optional else [*values, "None"]

    @property
    def _words(self) -> str:
        return self.name.replace("_", " ")


def parse_field(spec: str) -> Field:
    """
    Raises:
        Failure: the field is invalid.
    """
    match = SPEC.fullmatch(spec)
    if match is None:
        raise Failure(f"{spec}: a field is name:type[:length or table][?][=default].")
    kind = KINDS.get(match["type"])
    if kind is None:
        raise Failure(f"{spec}: {match['type']} is not a type; choose one of {', '.join(KINDS)}.")
    name = match["name"]
    check_column_name(f"{name}_id" if kind is KINDS["ref"] else name, spec)
    table = _read_table(spec, name, kind, match["more"])
    size = "" if table else _read_size(spec, kind, match["type"], match["more"])
    optional = match["optional"] is not None
    default = _read_default(spec, kind, size, match["default"])
    return Field(name, kind, size, table, optional, default)


def _read_table(spec: str, name: str, kind: Kind, more: str | None) -> str | None:
    if kind is not KINDS["ref"]:
        return None
    if not more:
        raise Failure(f"{spec}: add the table, such as {name}:ref:projects.")
    if name.endswith("_id"):
        raise Failure(f"{spec}: leave out the _id, which is added to the column's name.")
    return more


def _read_size(spec: str, kind: Kind, type_name: str, more: str | None) -> str:
    if not more:
        return kind.size
    if not kind.size:
        raise Failure(f"{spec}: {type_name} has no length.")
    maximum = MAX_SIZES[type_name]
    if type_name == "str":
        if not re.fullmatch(r"[1-9][0-9]{0,5}", more) or int(more) > maximum:
            raise Failure(
                f"{spec}: a length is a number from 1 to {maximum}; use text for longer ones."
            )
        return more
    digits, _, places = more.partition(",")
    if not re.fullmatch(r"[1-9][0-9]?,?[0-9]{0,2}", more) or not (
        int(places or 0) < int(digits) <= maximum
    ):
        raise Failure(
            f"{spec}: the size of a decimal is digits,places, such as 12,2: at most {maximum} "
            "digits in all, and fewer places after the point."
        )
    return f"{digits},{places or 0}"


def _read_default(spec: str, kind: Kind, size: str, text: str | None) -> Default | None:
    if text is None:
        return None
    if kind.default is None:
        raise Failure(f"{spec}: a reference has no default.")
    try:
        default = kind.default(text)
    except ValueError as error:
        raise Failure(f"{spec}: the default {text} does not fit: {error}.") from None
    if kind is KINDS["str"] and len(text) > int(size):
        raise Failure(f"{spec}: the default is longer than {size} characters.")
    if kind is KINDS["decimal"]:
        return _fit_decimal(spec, size, Decimal(text))
    return default


def _fit_decimal(spec: str, size: str, number: Decimal) -> Default:
    """Return the number with all places, which is how PostgreSQL returns it."""
    digits, places = map(int, size.split(","))
    exponent = number.as_tuple().exponent
    if -int(exponent) > places or abs(number) >= Decimal(10) ** (digits - places):
        raise Failure(f"{spec}: the default {number:f} does not fit into decimal:{size}.")
    shown = f"{number:.{places}f}" if number else f"{Decimal(0):.{places}f}"
    source = f'"{shown}"'
    return Default(f"Decimal({source if places else shown})", shown, source)
