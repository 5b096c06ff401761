"""The tables of docs/reference/limits.md list every limit with its value."""

import re
from ast import literal_eval

from plinth.accounts.providers import discovery
from plinth.accounts.providers import http as provider_http
from plinth.accounts.queries import (
    challenge,
    factor,
    identity,
    one_time_token,
    rotation,
    session,
)
from plinth.accounts.schemas import api_key, auth
from plinth.cache import client
from plinth.cli.users import files
from plinth.config import Settings
from plinth.http import problems, protocol
from plinth.http.bounds import overload, request_limits
from plinth.organizations.services import service_accounts
from plinth.request import headers
from plinth.resources import fields, listing, page_query
from plinth.security import devices, hash_shares, passwords
from tests.support.environment import LIBRARY, ROOT

ROW = re.compile(r"\| `(?P<name>\w+)`(?: (?P<part>[\w/-]+))? \|\s*(?P<value>[\d.]*)\s*\|")
MODULES = (
    api_key, auth, challenge, client, devices, discovery, factor, fields, files, hash_shares,
    headers, identity, one_time_token, passwords, problems, protocol, provider_http, listing,
    page_query, rotation, service_accounts, session,
)  # fmt: skip
LIMIT = re.compile(r"^(MAX_\w+)\b.* = ", re.MULTILINE)
BOUNDS = re.compile(r"MAX_\w*(SIZE|BYTES|FLIGHT)|(HEADER|BODY|WRITE)_TIMEOUT|DRAIN_SECONDS")


def find_value(name: str, part: str | None) -> float | None:
    if name in Settings.model_fields:
        default: float | None = Settings.model_fields[name].default
        return default
    if name == "MAX_BYTES_OF":
        return request_limits.MAX_BYTES_OF[str(part).encode()]
    if name == "FREE_BYTES":
        return overload.FREE_BYTES[str(part)]
    if name == "MAX_SEPARATORS":
        return request_limits.MAX_SEPARATORS[str(part)][1]
    value: int = next(vars(it)[name] for it in (request_limits, *MODULES) if name in vars(it))
    return value


def read_table(title: str) -> dict[tuple[str, str | None], float | None]:
    text = (ROOT / "docs/reference/limits.md").read_text()
    section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = [match.groups() for match in ROW.finditer(section)]
    return {(name, part): literal_eval(value) if value else None for name, part, value in rows}


def test_documented_limits_of_bytes_connections_and_time() -> None:
    documented = read_table("Bytes, connections and time")
    assert documented == {key: find_value(*key) for key in documented}
    bounds = {name for name in Settings.model_fields if BOUNDS.fullmatch(name)}
    bounds |= {"MAX_HEADER_FIELDS", "FRAMING_LIMIT", "HELD_BYTES", "MAX_REPORTED_ERRORS"}
    bounds |= {"MAX_PATH_BYTES", "MAX_QUERY_BYTES", "MAX_QUERY_PAIRS", "MAX_COOKIES"}
    bounds |= {"REFUSAL_SECONDS", "CHEAP_PARTS"}
    parts = {("MAX_BYTES_OF", name.decode()) for name in request_limits.MAX_BYTES_OF}
    parts |= {("FREE_BYTES", kind) for kind in overload.FREE_BYTES}
    parts |= {("MAX_SEPARATORS", kind) for kind in request_limits.MAX_SEPARATORS}
    assert {(name, None) for name in bounds} | parts == set(documented), "docs/reference/limits.md"


def test_documented_limits_of_accounts_values_and_services() -> None:
    documented = read_table("Accounts, values and services")
    assert documented == {key: find_value(*key) for key in documented}
    declared = {
        name
        for folder in ("accounts/queries", "accounts/routes", "accounts/schemas", "resources")
        for file in (LIBRARY / folder).rglob("*.py")
        for name in LIMIT.findall(file.read_text())
    }
    assert "MAX_PENDING" in declared, "the folders or the pattern no longer match the library"
    assert declared - {name for name, _ in documented} == set(), (
        "add a row to docs/reference/limits.md"
    )
