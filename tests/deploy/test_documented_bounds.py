"""The table of bytes, connections and time in docs/limits.md is what the code has."""

import re

from app.cli import protocol
from app.core import header_limits, parse_pace
from app.core.config import Settings
from tests.support.environment import ROOT

ROW = re.compile(r"\| `(?P<name>\w+)`(?: (?P<part>[\w/-]+))? \|\s*(?P<value>[\d.]*)\s*\|")
BOUNDS = re.compile(r"MAX_\w*(SIZE|BYTES|FLIGHT)|(HEADER|BODY|WRITE)_TIMEOUT|DRAIN_SECONDS")


def find_value(name: str, part: str | None) -> float | None:
    if name in Settings.model_fields:
        default: float | None = Settings.model_fields[name].default
        return default
    if name == "MAX_BYTES_OF":
        return header_limits.MAX_BYTES_OF[str(part).encode()]
    if name == "FREE_BYTES":
        return parse_pace.FREE_BYTES[str(part)]
    value: int = getattr(header_limits, name, None) or getattr(protocol, name)
    return value


def test_the_table_is_what_the_code_has() -> None:
    text = (ROOT / "docs" / "limits.md").read_text()
    section = text.partition("## Bytes, connections and time")[2].partition("\n## ")[0]
    rows = [match.groups() for match in ROW.finditer(section)]
    documented = {(name, part): float(value) if value else None for name, part, value in rows}
    assert documented == {key: find_value(*key) for key in documented}
    bounds = {name for name in Settings.model_fields if BOUNDS.fullmatch(name)}
    bounds |= {"MAX_HEADER_FIELDS", "FRAMING_LIMIT", "HELD_BYTES"}
    parts = {("MAX_BYTES_OF", name.decode()) for name in header_limits.MAX_BYTES_OF}
    parts |= {("FREE_BYTES", kind) for kind in parse_pace.FREE_BYTES}
    assert {(name, None) for name in bounds} | parts == set(documented), "docs/limits.md"
