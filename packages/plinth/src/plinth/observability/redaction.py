"""What must not be read in a log: secrets, by their names and by their looks, and the characters
with which a text breaks out of its line.

It is a net below the rule that no such thing is logged. It catches what comes along inside of an
error's text, say a library's that quotes what it could not take.
"""

import re
from typing import Any

from structlog.typing import EventDict, WrappedLogger

HIDDEN = "[hidden]"
SHOWS_SECRETS = {"shows_secrets": True}
"""The `extra` of a line that is written to show one, in development."""
SECRET_NAMES = re.compile(r"password|secret|token|authorization|cookie|api_?key", re.IGNORECASE)
NAMES = ("password", "secret", "token", "authorization", "cookie")
# What looks like a secret, behind words without one of which it need not be looked for (in lower
# case). The text before the secret, where it is to stay, is a group. Each goes through a text once,
# whatever stands in it: a client may have written a megabyte of beginnings.
SECRETS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = (
    (("eyj",), re.compile(r"()(?<![\w-])(?>[\w-]*?eyJ)[\w-]++\.[\w-]+\.[\w-]*")),  # a JWT
    (("$",), re.compile(r"()\$(?:argon2|2[abxy]|pbkdf2|scrypt)[\w-]*\$[^\s'\"]+")),  # a hash
    (("://",), re.compile(r"(://)[^/\s:@]*:[^/\s@]+(?=@)")),  # a URL's user and password
    (
        ("input_value=",),
        re.compile(r"(input_value=).*?(?=, input_type=|\Z)", re.DOTALL),
    ),  # Pydantic
    (("bearer ", "basic "), re.compile(r"((?:Bearer|Basic) )\S+", re.IGNORECASE)),
    (
        NAMES,
        re.compile(
            rf"""((?:{"|".join(NAMES)})["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*')""", re.IGNORECASE
        ),
    ),
    # A token of ours, or a key: long, with digits and capitals. No name in a traceback is so.
    (("",), re.compile(r"()(?<![\w-])(?=[\w-]{40})(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]+")),
)
# C0 and C1 with DEL, and the separators of lines and paragraphs: what a terminal or a reader of
# lines takes for a command. Also what turns the direction of reading, and what has no UTF-8.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
CONTROL_IN_LINES = re.compile(CONTROL.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    shown = any(hasattr(event.get("_record"), name) for name in SHOWS_SECRETS)
    return {name: _conceal_value(name, value, shown=shown) for name, value in event.items()}


def _conceal_value(name: str, value: Any, *, shown: bool) -> Any:
    if name.startswith("_") or value is None or isinstance(value, bool | int | float):
        return value
    if SECRET_NAMES.search(name):
        return HIDDEN
    text = str(value) if shown else _hide(str(value))
    if name == "exception":
        # Its lines are its own; indented, none passes for a line of the log.
        return CONTROL_IN_LINES.sub(_spell, text).replace("\n", "\n    ")
    return CONTROL.sub(_spell, text)


def _hide(text: str) -> str:
    lower = text.lower()
    for words, pattern in SECRETS:
        if any(word in lower for word in words):
            text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def _spell(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
