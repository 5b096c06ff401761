"""The resource that the templates of `plinth new` render."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from plinth.cli.failure import Failure
from plinth.cli.new.columns.fields import Field
from plinth.cli.new.words import class_name

DATE_TYPES = re.compile(r"^(date|datetime)\b")
MAX_UNSEARCHABLE_LENGTH = 3  # a part of such a text is shorter than the minimum of a search
MAX_IDENTIFIER_BYTES = 63  # PostgreSQL truncates longer ones


@dataclass(frozen=True, slots=True)
class Target:
    """The table that a field refers to.

    Attributes:
        is_private: only the owner of a row may refer to it, a user or an organization.
        goes_with_users: its rows belong to users, and rows of other users may refer to them.
        is_itself: it is the table of the field.
    """

    field: Field
    table: str
    is_private: bool
    goes_with_users: bool = False
    is_itself: bool = False
    owner_column: str = "owner_id"

    @property
    def column(self) -> str:
        return self.field.column

    @property
    def columns(self) -> list[str]:
        return [self.column, self.owner_column] if self.is_private else [self.column]

    @property
    def referred(self) -> list[str]:
        owner = [f"{self.table}.{self.owner_column}"] if self.is_private else []
        return [f"{self.table}.id", *owner]

    @property
    def ondelete(self) -> str | None:
        """The action of the foreign key.

        It must never block the deletion of a user, whatever other users' rows refer to. Other rows
        cannot be deleted while a required reference exists.
        """
        if self.field.is_optional:
            return f"SET NULL ({self.column})" if self.is_private else "SET NULL"
        return "CASCADE" if self.goes_with_users else None


@dataclass(frozen=True)
class Resource:
    """
    Attributes:
        plural: the plural of the name, and the table.
        is_owned: each row belongs to a user.
        is_org: each row belongs to an organization.
        search: the columns that `q` searches.
        unique: groups of columns with a unique constraint each.
    """

    name: str
    plural: str
    fields: Sequence[Field]
    targets: Sequence[Target]
    is_owned: bool
    is_public: bool
    search: Sequence[Field]
    unique: Sequence[Sequence[Field]]
    is_org: bool = False

    @cached_property
    def model(self) -> str:
        return class_name(self.name)

    @cached_property
    def several(self) -> str:
        """The plural in names of functions."""
        return self.plural if self.plural != self.name else f"many_{self.name}"

    @cached_property
    def path(self) -> str:
        return self.plural.replace("_", "-")

    @cached_property
    def words(self) -> str:
        return self.name.replace("_", " ")

    @cached_property
    def is_private(self) -> bool:
        return self.is_org or (self.is_owned and not self.is_public)

    @cached_property
    def owner_column(self) -> str | None:
        return "organization_id" if self.is_org else "owner_id" if self.is_owned else None

    @cached_property
    def owner_table(self) -> str:
        return "organizations" if self.is_org else "users"

    @cached_property
    def mixin(self) -> str:
        return "OrganizationOwned, " if self.is_org else "Owned, " if self.is_owned else ""

    @cached_property
    def article(self) -> str:
        return "an" if self.name[0] in "aeiou" else "a"

    @cached_property
    def sorted_by(self) -> list[str]:
        return ["created_at", *(field.column for field in self.fields if field.is_sorted)]

    @cached_property
    def indexes(self) -> list[str]:
        """The columns that need an index to sort by; a unique constraint has one already."""
        unique = {columns[0].column for columns in self.unique if len(columns) == 1}
        return [column for column in self.sorted_by if column not in unique]

    @cached_property
    def index_prefix(self) -> list[str]:
        return [self.owner_column] if self.is_private and self.owner_column else []

    def unique_columns(self, fields: Sequence[Field]) -> list[str]:
        owner = [self.owner_column] if self.owner_column else []
        return [*owner, *(field.column for field in fields)]

    def in_datetime(self, source: str) -> str:
        """Qualify the types `date` and `datetime` if a column shadows them."""
        shadows = not {"date", "datetime"}.isdisjoint(field.column for field in self.fields)
        return DATE_TYPES.sub(r"dt.\1", source) if shadows else source

    @cached_property
    def searched(self) -> str:
        """The expression over the searched columns in PostgreSQL's own notation, without quotes."""
        first, *others = (self._searchable(field) for field in self.search)
        expression = first
        for number, other in enumerate(others):
            before = f"({expression})" if number else expression
            expression = rf"({before} || '\n') || {other}"
        return expression

    @cached_property
    def searched_in_sql(self) -> str:
        """The same expression in a readable notation."""
        columns = [
            f"coalesce({field.quoted_column}, '')" if field.is_optional else field.quoted_column
            for field in self.search
        ]
        return r" || E'\n' || ".join(columns)

    @cached_property
    def filtered(self) -> list[Field]:
        return [field for field in self.fields if field.filters]

    @cached_property
    def sent(self) -> list[Field]:
        """The fields that the tests send: without references to the same table, which would need
        another row."""
        own = [target.field for target in self.targets if target.is_itself]
        return [field for field in self.fields if field not in own]

    @cached_property
    def visible(self) -> list[Field]:
        return [field for field in self.fields if not field.is_secret]

    @cached_property
    def secrets(self) -> list[Field]:
        return [field for field in self.fields if field.is_secret]

    @cached_property
    def equated(self) -> list[Field]:
        return [field for field in self.sent if "EQUALS" in field.filters]

    @cached_property
    def ranged(self) -> list[Field]:
        return [field for field in self.fields if "RANGE" in field.filters]

    @cached_property
    def nullable(self) -> list[Field]:
        return [field for field in self.sent if "NULL" in field.filters]

    @cached_property
    def left_out(self) -> list[Field]:
        """The fields that a request may omit."""
        return [field for field in self.fields if field.is_optional or field.default]

    @cached_property
    def needed(self) -> list[Field]:
        return [field for field in self.fields if field not in self.left_out]

    @cached_property
    def private_targets(self) -> list[Target]:
        return [it for it in self.targets if it.is_private and not it.is_itself]

    @cached_property
    def needle(self) -> tuple[str, str]:
        """A text that fits into each searched column, and a part of it."""
        sizes = [int(field.size) for field in self.search if field.size]
        text = "Zylophone"[: min(sizes, default=9)]
        return text, (text[1:-1] if len(text) > MAX_UNSEARCHABLE_LENGTH else text).upper()

    @cached_property
    def access(self) -> str:
        if self.is_org:
            return "Members whose role has the permission may read or write, others get a 404"
        if self.is_owned:
            others = "anyone may read" if self.is_public else "others get a 404"
            return f"Owners and superusers may read and write, {others}"
        return f"Superusers may write, {'anyone' if self.is_public else 'users'} may read"

    def target_of(self, field: Field) -> Target:
        return next(target for target in self.targets if target.field is field)

    def conflict(self, fields: Sequence[Field]) -> tuple[str, str]:
        """Return the code and the detail of the error for a duplicate row."""
        code = "_".join(field.name for field in fields)
        words = " and ".join(field.name.replace("_", " ") for field in fields)
        return f"{self.name}_{code}_taken", f"Another {self.words} has this {words}"

    def _searchable(self, field: Field) -> str:
        column = f"{self.plural}.{field.quoted_column}"
        return f"COALESCE({column}, '')" if field.is_optional else column

    def check(self) -> None:
        """
        Raises:
            Failure: a name in the database would be too long or a duplicate.
        """
        for name, times in Counter(self._identifiers()).items():
            if times > 1:
                raise Failure(f"Two constraints or indexes would be named {name}; rename a field.")
            if len(name) > MAX_IDENTIFIER_BYTES:
                raise Failure(
                    f"{name} would be longer than {MAX_IDENTIFIER_BYTES} characters, at which "
                    "PostgreSQL truncates it; choose shorter names."
                )

    def _identifiers(self) -> list[str]:
        keys = [target.columns for target in self.targets]
        unique = [self.unique_columns(fields) for fields in self.unique]
        owner = self.owner_column or "owner_id"
        return [
            f"uq_{self.plural}_id_{owner}",
            f"ix_{self.plural}_search_trgm",
            *(f"ix_{self.plural}_{name}" for name in (*self.indexes, owner)),
            *(f"ix_{self.plural}_{field.column}" for field in self.fields if field.is_indexed),
            *(f"fk_{self.plural}_{'_'.join(columns)}" for columns in keys),
            *(f"uq_{self.plural}_{'_'.join(columns)}" for columns in unique),
        ]
