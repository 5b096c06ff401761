"""What must not be read in a log: secrets, by their names and by their looks, and the characters
with which a text breaks out of its line.

It is a net below the rule that no such thing is logged. It catches what comes along inside of an
error's text, say a library's that quotes what it could not take.
"""

import re
from typing import Any

from structlog.typing import EventDict, WrappedLogger

HIDDEN = "[hidden]"
SECRET_NAMES = re.compile(r"password|secret|token|authorization|cookie|api_?key", re.IGNORECASE)
SECRETS = re.compile(
    r"""
      eyJ[\w-]+\.[\w-]+\.[\w-]*                             # a JWT
    | \$(?:argon2|2[abxy]|pbkdf2|scrypt)[\w-]*\$[^\s'"]+    # a password's hash
    | (?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{40,}       # a token of ours, or a key
    | (?<=://)[^/\s:@]*:[^/\s@]+(?=@)                       # a URL's user and password
    | (?<=input_value=).*?(?=,\ input_type=)                # Pydantic, quoting what was sent
    | (?i:(?<=Bearer\ )|(?<=Basic\ ))\S+
    | (?i:["']?[\w-]*(?:password|secret|token|authorization|cookie)["']?\s*[=:]\s*)
      (?:"[^"]*"|'[^']*')
    """,
    re.VERBOSE | re.DOTALL,
)
# C0 and C1 with DEL, and the separators of lines and paragraphs: what a terminal or a reader of
# lines takes for a command. Also what turns the direction of reading, and what has no UTF-8.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
CONTROL_IN_LINES = re.compile(CONTROL.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def conceal(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {name: _conceal_value(name, value) for name, value in event.items()}


def _conceal_value(name: str, value: Any) -> Any:
    if name.startswith("_") or value is None or isinstance(value, bool | int | float):
        return value
    if SECRET_NAMES.search(name):
        return HIDDEN
    text = SECRETS.sub(HIDDEN, str(value))
    if name == "exception":
        # Its lines are its own; indented, none passes for a line of the log.
        return CONTROL_IN_LINES.sub(_spell, text).replace("\n", "\n    ")
    return CONTROL.sub(_spell, text)


def _spell(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
