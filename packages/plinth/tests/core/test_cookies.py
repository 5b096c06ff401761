"""The time of parsing cookies is linear in their length."""

import http.cookies
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from plinth.request.cookies import find_cookie, replace_quadratic_parser, unquote
from tests.support.environment import ROOT

LENGTH = 48_000
HOSTILE = {
    "backslashes": "\\" * LENGTH,
    "octal escapes": "\\101" * (LENGTH // 4),
    "quotes": '\\"' * (LENGTH // 2),
    "escapes and one octal": "\\a" * (LENGTH // 2) + "\\101",
    "almost octal": "\\40" * (LENGTH // 3),
    "semicolons": ";" * LENGTH,
    "pairs": "a=1;" * (LENGTH // 4),
    "one name": "plinth_device=1;" * (LENGTH // 16),
    "signs": "=" * LENGTH,
    "spaces": " " * LENGTH,
}
PART = 8
TIMES = 24
"""Maximum ratio for eight times the length: a linear parser takes 8 times as long, others 64."""


def scope_of(*cookies: str) -> dict[str, Any]:
    headers = [(b"cookie", cookie.encode("latin-1")) for cookie in cookies]
    return {"type": "http", "headers": [(b"host", b"here"), *headers]}


def take(act: Callable[[], object]) -> float:
    """Return the minimum CPU time of several runs, in seconds."""
    times = []
    for _ in range(5):
        began = time.process_time()
        act()
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("reader", ["find_cookie", "request.cookies", "SimpleCookie"])
def test_parsing_time_is_linear(kind: str, reader: str) -> None:
    replace_quadratic_parser()
    read: dict[str, Callable[[str], object]] = {
        "find_cookie": lambda text: find_cookie(scope_of(text), "plinth_device"),
        "request.cookies": lambda text: Request(scope_of(text)).cookies,
        "SimpleCookie": lambda text: http.cookies.SimpleCookie().value_decode(text),
    }
    whole = HOSTILE[kind]
    short = take(lambda: read[reader](f'plinth_device="{whole[: LENGTH // PART]}"'))
    long = take(lambda: read[reader](f'plinth_device="{whole}"'))
    assert long < TIMES * max(short, 0.0002), f"{long * 1000:.1f} ms, {short * 1000:.3f} for a part"


@pytest.mark.parametrize(
    "text",
    [
        "", '"', '""', "plain", '"quoted"', r'"a\"b"', r'"\101\054\073"', r'"\\"', r'"\"', r'"\1"',
        r'"\400"', r'"\377"', r'"\08"', '"a\\\nb"', '"\\', "a\\b", r'"\\\101"', '"ü\\303"',
    ],
)  # fmt: skip
def test_unquote_matches_the_standard_library(text: str) -> None:
    """Run in a separate process, which has the unpatched function of the standard library."""
    asked = "import sys, http.cookies; print(ascii(http.cookies._unquote(eval(sys.argv[1]))))"
    expected = subprocess.run(
        [sys.executable, "-c", asked, ascii(text)], capture_output=True, check=True, cwd=ROOT
    ).stdout
    assert ascii(unquote(text)) == expected.decode().strip()


@pytest.mark.parametrize(
    ("cookies", "found"),
    [
        ([], None),
        (["a=1"], None),
        (["plinth_device=1"], "1"),
        (["a=1; plinth_device=2; b=3"], "2"),
        (["a=1", "plinth_device=2"], "2"),
        (["plinth_device=1; plinth_device=2"], "2"),
        (["xplinth_device=1"], None),
        (["plinth_devicex=1"], None),
        (["plinth_device"], None),
        (["plinth_device="], ""),
        (['plinth_device="a=b"'], '"a=b"'),
        (["a=plinth_device"], None),
    ],
)
def test_find_cookie_returns_the_named_cookie(cookies: list[str], found: str | None) -> None:
    assert find_cookie(scope_of(*cookies), "plinth_device") == found
