"""The combinations of the options of `plinth new`, and those that it refuses."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

SEED = 14
FIELDS_IN_A_PACK = 10

TABLES = {
    "genre": "title:str:80",
    "album": "name:str:80 --owned",
    "review": "stars:int --owned --public",
    "ledger": "name:str:80 --org",
}
TYPES = {
    **{name: name for name in ("str", "text", "int", "float", "decimal", "bool", "date")},
    **{name: name for name in ("datetime", "uuid", "json")},
    "ref to unowned": "ref:genres",
    "ref to owned": "ref:albums",
    "ref to owned public": "ref:reviews",
    "ref to org": "ref:ledgers",
    "ref to users": "ref:users",
    "ref to itself": "ref:{plural}",
}
PRESENCES = ("required", "optional", "default", "optional with default")
OWNERSHIPS = {
    "neither": (),
    "public": ("--public",),
    "owned": ("--owned",),
    "owned public": ("--owned", "--public"),
    "org": ("--org",),
}
# Sorting and filtering are not options; they follow from the type, and generated tests use them.
RULES = ("plain", "unique", "unique together", "search", "unique and search", "secret")

DEFAULTS = {
    "str": "it's :x",
    "text": "50% of \\n",
    "int": "-3",
    "float": "0.5",
    "decimal": "0",
    "bool": "false",
    "date": "2026-01-31",
    "datetime": "2026-01-31T09:00:00+01:00",
    "uuid": "3f0c2f0e-0f5b-4f43-9d62-6a4a37c1a0ff",
    "json": "{}",
}
# Texts that are hard to quote in SQL, in Python, or for Alembic's comparison.
QUOTED_DEFAULTS = (
    *("'", "''", "'a'", "it''s", "\\", "'\\'", "E'\\n'", '"quoted"', "\"'", "'':d", ":a"),
    *("%", "%s %(a)s %%", "%('a')", "a:b ::c", "{a}", "{{ it.name }}", "{% x %}", "#}", "$1 $$ ?"),
    *("-- ' x", "/* ; */", "", " ' ", "null", "NULL::text", "now()", "nextval('x'::regclass)"),
    "äß ' ✓ 😀",
)
NO_TEXT = TYPES.keys() - {"str", "text"}
CAN_BE_SECRET = {"str", "text", "uuid", "json"}


@dataclass(frozen=True)
class Combination:
    """One field of one resource."""

    type: str
    presence: str
    ownership: str
    rule: str

    @property
    def pairs(self) -> set[tuple[str, str]]:
        values = (self.type, self.presence, self.ownership, self.rule)
        return set(combinations(values, 2))

    @property
    def is_reference(self) -> bool:
        return self.type.startswith("ref")

    @property
    def is_unique(self) -> bool:
        return self.rule in ("unique", "unique and search")

    @cached_property
    def refusals(self) -> list[str]:
        """Return parts of the possible error messages; empty if the combination is accepted."""
        has_default = "default" in self.presence
        together = self.rule == "unique together"
        reasons = {
            "a reference has no default": self.is_reference and has_default,
            "add --owned": self.type == "ref to owned" and "owned" not in self.ownership,
            "add --org": self.type == "ref to org" and self.ownership != "org",
            "cannot refer to another": self.type == "ref to itself" and self.presence == "required",
            "nulls are never equal": self.type == "ref to itself" and (self.is_unique or together),
            "the second row with the default": self.is_unique and has_default,
            "there are only 2 different values": self.type == "bool" and self.is_unique,
            "too large for an index": self.type in ("text", "json")
            and (self.is_unique or together),
            "is not a str or text": self.rule.endswith("search") and self.type in NO_TEXT,
            "is not a str, text, uuid or json": self.rule == "secret"
            and self.type not in CAN_BE_SECRET,
            "a secret cannot have a default": self.rule == "secret" and has_default,
        }
        return [reason for reason, applies in reasons.items() if applies]

    def spec(self, name: str, plural: str) -> str:
        optional = "?" if "optional" in self.presence else ""
        default = f"={DEFAULTS.get(self.type, 1)}" if "default" in self.presence else ""
        return f"{name}:{TYPES[self.type].format(plural=plural)}{optional}{default}"

    def companion(self, name: str) -> str | None:
        """Return a further field if the combination requires one."""
        if self.rule == "unique together":
            return f"{name}_with:ref:users" if self.is_reference else f"{name}_with:str:20"
        return f"{name}_with:str:20" if self.type == "ref to itself" else None

    def unique(self, name: str) -> str | None:
        if self.rule == "unique together":
            return f"{name},{name}_with"
        return name if self.is_unique else None


def all_combinations() -> list[Combination]:
    return [Combination(*values) for values in product(TYPES, PRESENCES, OWNERSHIPS, RULES)]


def accepted() -> list[Combination]:
    return [it for it in all_combinations() if not it.refusals]


def sample() -> list[Combination]:
    """Return few combinations that cover each pair of accepted values."""
    left = accepted()
    random.Random(SEED).shuffle(left)
    missing = set().union(*(it.pairs for it in left))
    chosen = []
    while missing:
        best = max(left, key=lambda it: len(it.pairs & missing))
        chosen.append(best)
        missing -= best.pairs
    return chosen


def alone() -> Iterator[list[str]]:
    """Return the arguments of a command for each type, with only that field."""
    for number, type_name in enumerate(TYPES):
        for ownership, prefix in (("neither", "lone"), ("owned", "sole")):
            plain = [Combination(type_name, it, ownership, "plain") for it in PRESENCES]
            if found := [it for it in plain if not it.refusals]:
                yield command(f"{prefix}{letters(number)}", found[:1])


def quoted() -> list[str]:
    """Return the arguments of a command with all texts that are hard to quote."""
    specs = [
        f"field{letters(number)}:{('str', 'text')[number % 2]}={text}"
        for number, text in enumerate(QUOTED_DEFAULTS)
    ]
    return ["quotation", *specs, "--plural", "quotations"]


def packed(combinations: Sequence[Combination]) -> Iterator[list[str]]:
    """Yield the arguments of few commands for all combinations, with several fields each."""
    groups = [[it for it in combinations if it.ownership == ownership] for ownership in OWNERSHIPS]
    parts = [
        group[start : start + FIELDS_IN_A_PACK]
        for group in groups
        for start in range(0, len(group), FIELDS_IN_A_PACK)
    ]
    for number, part in enumerate(parts):
        yield command(f"pack{letters(number)}", part)


def command(name: str, fields: Sequence[Combination]) -> list[str]:
    plural = f"{name}s"
    names = [f"field{letters(number)}" for number in range(len(fields))]
    named = list(zip(names, fields, strict=True))
    specs = [it.spec(name, plural) for name, it in named]
    companions = [it.companion(name) for name, it in named]
    unique = [it.unique(name) for name, it in named]
    searched = [name for name, it in named if it.rule.endswith("search")]
    secret = [name for name, it in named if it.rule == "secret"]
    return [
        *(name, *specs, *filter(None, companions), "--plural", plural),
        *OWNERSHIPS[fields[0].ownership],
        *(word for rule in unique if rule for word in ("--unique", rule)),
        *(("--search", ",".join(searched)) if searched else ()),
        *(("--secret", ",".join(secret)) if secret else ()),
    ]


def letters(number: int) -> str:
    """Return two letters for a number: `aa` for 0, `bb` for 27."""
    first, second = divmod(number, 26)
    return chr(ord("a") + first) + chr(ord("a") + second)
