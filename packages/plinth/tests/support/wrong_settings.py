"""Invalid values of every setting by its type, so that the tests include new settings."""

import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from plinth.config import Settings

KINDS = 10  # invalid values for each setting
PARTS = ("POSTGRES_", "REDIS_")
URLS = ("DATABASE_URL", "REDIS_URL")

NUMBERS = (
    "hush", "-99999999999", "99999999999999999999", "1,5", "tcp://hush:1", "[1]", "hush 1", "0x10",
    "1..2", "\udcff", "None", "nan", "inf", "-inf", "1e99",
)  # fmt: skip
INTEGERS = (*NUMBERS, "1.5", "true", "1e3")
FLAGS = (
    "hush", "2", "-1", "1.5", "[true]", "tcp://hush", "truee", "null", "\udcff", "yes!", "hush\n",
)  # fmt: skip
CHOICES = (
    "hush", "0", "-1", "[]", "null", "none ", "true!", "tcp://hush", "\udcff", "hush\n", "HS999",
)  # fmt: skip
LISTS = (
    "hush", "[hush", '{"hush": 1}', '"hush"', "1", "null", "[1.5, {}]", "[null]", '["hush hush"]',
    '[["hush"]]', "\udcff", '["hush"', "https://hush.example.com",
)  # fmt: skip
OBJECTS = (
    "hush", '{"hush"', "[]", '["hush"]', '"hush"', "1", "null", '{"A": {}}', '{"a": "hush"}',
    '{"a": {"client_id": "hush"}}', "\udcff", '{"a": [1]}',
)  # fmt: skip
TEXTS = (
    "hush\n", "hush\r\n", "a\nhush", "\thush", "\x1b[31mhush", "\x01", "hush\x7f", "a\x0bb",
    "\x0chush", "\udcff", "hush\udc80",
)  # fmt: skip
ADDRESSES = ("hush", "hush://hush", "//hush", "http:hush", "http://", "http://hush:99999")
POSTGRES = (
    "hush", "mysql://hush/d", "postgresql:hush", "postgresql://u:hu@sh@h/d", "http://hush",
    "postgresql://h/hush%00", "postgresql://h/d?password=hush%0A", "postgresql://h/d#hush",
    "postgresql://h:99999/d", "postgresql://h:0/d", "jdbc:postgresql://hush/d",
)  # fmt: skip
REDIS = (
    "redis://h#hush", "redis://u:hush%00@h", "unix://", "redis://h?client_name=a%20hush", "hush",
    "http://hush", "redis:hush", "redis://:hu/sh@h", "redis://h:99999", "hush:6379",
)  # fmt: skip
PROXIES = (
    '["0.0.0.0/0"]', '["10.0.0.0/8", "::/0"]', "[167772160]", "[true]", '["10.0.0.1/8"]',
    '["::ffff:10.0.0.0/104"]', '["*"]', '[["10.0.0.0", 8]]',
)  # fmt: skip
HOSTS = ("http://hush", "hush:25/", "hush hush", "hush/", "u@hush", "hush?", "hush#1")
BY_TYPE: dict[Any, tuple[str, ...]] = {
    bool: FLAGS,
    int: INTEGERS,
    float: NUMBERS,
    str: TEXTS,
    Path: TEXTS,
}
BY_NAME = {
    "^LIMIT_": ("hush", "5", "5/5w", "0/5m", "5/0m", "-5/5m"),
    "DATABASE_URL$": POSTGRES,
    "REDIS_URL$": REDIS,
    "(BREACH_CHECK_URL|ENDPOINT)$": ADDRESSES,
    "^MAIL_FROM$": (
        "hush",
        "@",
        "hush@",
        "@hush",
        "Hush <hush>",
        "a@hush, b@hush",
        "a hush@b",
        "a@b hush",
        "Hush <a@b",
        "a@hush>",
        "Hush <a@b>, <c@d>",
        "a@.",
        "a@-b",
        "a@@b",
        "hush:;",
    ),
    "^FRONTEND_URL$": (
        *ADDRESSES,
        "https://x?hush",
        "https://x#hush",
        "https://hush@x",
        'https://x/a"hush',
        "https://x\\hush",
    ),
    "^API_ORIGIN$": ("*", "null", "hush", "https://x/hush", "https://*.hush", "http://hush:99999"),
    "_HOST$": HOSTS,
    "^API_V1_PREFIX$": (
        "/",
        "api",
        "/api/",
        "api/v1",
        "/a b",
        "//",
        "/hush?",
        "/.",
        "/a/..",
        "/admin",
        "/docs/v1",
    ),
    "^CACHE_PREFIX$": ("*", "hush*", "[a]", "hush?", "hush\\", "hush hush", "\u00e9", "h" * 101),
}


def wrong_values(name: str) -> tuple[str, ...]:
    """Return at least `KINDS` invalid values, those specific to this setting first."""
    annotation = _find_type(Settings.model_fields[name].annotation)
    values = _wrong_by_type(annotation)
    if name == "TRUSTED_PROXIES":
        return (*PROXIES, *values)
    if name == "METRICS_PORT":  # the address of a service counts as unset
        return tuple(value for value in values if "://" not in value)
    own = [BY_NAME[pattern] for pattern in BY_NAME if re.search(pattern, name)]
    return (*own[0], *values) if own and annotation is str else values


def _wrong_by_type(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return CHOICES
    if get_origin(annotation) is list:
        return LISTS
    if get_origin(annotation) is dict:
        return OBJECTS
    return BY_TYPE[annotation]


def is_part(name: str) -> bool:
    """Return whether the setting is read only without a URL."""
    return name.startswith(PARTS) and name not in URLS


def _find_type(annotation: Any) -> Any:
    """Return the type without `Annotated` and `None`."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, UnionType):
            (annotation,) = (it for it in get_args(annotation) if it is not NoneType)
        else:
            return annotation
