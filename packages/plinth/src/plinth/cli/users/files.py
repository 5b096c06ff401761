"""Read files of users: CSV with a header, or JSON lines."""

import csv
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from plinth.accounts.schemas.from_columns import ImportedUser
from plinth.accounts.services.bulk import Line
from plinth.cli.failure import Failure
from plinth.cli.users.commands import Format

STANDARD = Path("-")
MAX_LINE_LENGTH = 1024 * 1024  # characters
ESCAPED = re.compile("[\udc80-\udcff]")  # surrogateescape's form of bytes that are not UTF-8
NOT_UTF8 = "is not UTF-8"
TOO_LONG = f"is longer than {MAX_LINE_LENGTH} characters"
BY_SUFFIX = {".csv": Format.CSV, ".jsonl": Format.JSONL, ".ndjson": Format.JSONL}


def find_format(file: Path, given: Format | None) -> Format:
    if file_format := given or BY_SUFFIX.get(file.suffix.lower()):
        return file_format
    raise Failure(f"{file} has no suffix .csv, .jsonl or .ndjson: pass --format csv or jsonl.")


@contextmanager
def reading(file: Path) -> Iterator[BinaryIO]:
    if file == STANDARD:
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.") from error
    with source:
        yield source


def read_lines(source: BinaryIO, kind: Format) -> Iterator[Line]:
    """
    Raises:
        Failure: the header is invalid.
    """
    # utf-8-sig: spreadsheets write a byte order mark. surrogateescape: a strict decoder would fail
    # somewhere in a buffer, without the number of the line.
    text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
    read: Callable[[Iterator[str]], Iterator[Line]]
    read = _read_csv if kind is Format.CSV else _read_jsonl
    try:
        yield from read(_split(text))
    finally:
        text.detach()  # otherwise it closes the source, which belongs to the caller


def _split(text: TextIO) -> Iterator[str]:
    """Yield lines, cut off after `MAX_LINE_LENGTH` + 1 characters.

    A file without line breaks must not fill the memory.
    """
    while line := text.readline(MAX_LINE_LENGTH + 1):
        yield line
        while len(line) > MAX_LINE_LENGTH and not line.endswith(("\n", "\r")):
            line = text.readline(MAX_LINE_LENGTH + 1)


def _read_csv(lines: Iterator[str]) -> Iterator[Line]:
    rows = csv.reader(_refuse_long(lines), strict=True)
    number = 1
    try:
        names = _check_header(next(rows, []))
        number = rows.line_num + 1
        for cells in rows:
            if not _is_utf8("".join(cells)):
                yield Line(number, error=NOT_UTF8)
            elif len(cells) == len(names):
                # An empty cell is a missing value and not "".
                yield Line(number, {name: it for name, it in zip(names, cells, strict=True) if it})
            elif cells:
                yield Line(number, error=f"has {len(cells)} cells for {len(names)} columns")
            number = rows.line_num + 1
    except csv.Error as error:
        yield Line(number, error=f"is not valid CSV: {error}. The rest was not read")


def _refuse_long(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if len(line) > MAX_LINE_LENGTH:
            raise csv.Error(TOO_LONG)
        yield line


def _check_header(names: list[str]) -> list[str]:
    if not _is_utf8("".join(names)):
        raise Failure("The header is not UTF-8: save the file as UTF-8.")
    names = [name.strip() for name in names]
    if len(names) == 1 and (mark := re.search("[;\t|]", names[0])):
        raise Failure(f"The header separates columns with {mark[0]!r}: use commas.")
    known = ImportedUser.model_fields
    missing = [name for name, it in known.items() if it.is_required() and name not in names]
    if missing:
        raise Failure(f"The header lacks required columns: {', '.join(missing)}.")
    if unknown := [name for name in names if name not in known]:
        raise Failure(f"Unknown columns: {', '.join(unknown)}. Remove or rename them.")
    if len(set(names)) < len(names):
        raise Failure("The header contains a column twice.")
    return names


def _read_jsonl(lines: Iterator[str]) -> Iterator[Line]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _parse_json(number, line)


def _parse_json(number: int, line: str) -> Line:
    if len(line) > MAX_LINE_LENGTH:
        return Line(number, error=TOO_LONG)
    if not _is_utf8(line):
        return Line(number, error=NOT_UTF8)
    try:
        values = json.loads(line, object_pairs_hook=_refuse_repeats)
    except _Repeated as error:
        return Line(number, error=f"{error}: given twice")
    except (ValueError, RecursionError):
        return Line(number, error="is not valid JSON")
    if not isinstance(values, dict):
        return Line(number, error="is not a JSON object")
    return Line(number, values)


class _Repeated(Exception):
    pass


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate names, of which implementations use different ones (RFC 8259, section 4)."""
    values = dict(pairs)
    if len(values) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise _Repeated(name[:50])
    return values


def _is_utf8(text: str) -> bool:
    return not ESCAPED.search(text)
