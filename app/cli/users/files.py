"""Files of users: CSV with a header, or JSON lines."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from app.cli.failure import Failure
from app.cli.users.formats import Format
from app.schemas.bulk import ImportedUser
from app.services.bulk import Line

STANDARD = Path("-")
BY_SUFFIX = {".csv": Format.CSV, ".jsonl": Format.JSONL, ".ndjson": Format.JSONL}


def find_format(file: Path, given: Format | None) -> Format:
    if found := given or BY_SUFFIX.get(file.suffix.lower()):
        return found
    raise Failure(f"{file} ends neither in .csv nor in .jsonl: pass --format csv or jsonl.")


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
        Failure: the file is not UTF-8, or its header cannot be used.
    """
    # A spreadsheet writes a mark before the first letter.
    text = io.TextIOWrapper(source, encoding="utf-8-sig", newline="")
    read: Callable[[TextIO], Iterator[Line]] = _read_csv if kind is Format.CSV else _read_jsonl
    last = 0
    try:
        for line in read(text):
            last = line.number
            yield line
    except UnicodeDecodeError as error:
        raise Failure(f"The file is not UTF-8, some lines after line {last}.") from error
    finally:
        text.detach()  # else it closes the source, which is not its own


def _read_csv(text: TextIO) -> Iterator[Line]:
    rows = csv.reader(text, strict=True)
    number = 1
    try:
        names = _check_header(next(rows, []))
        number = rows.line_num + 1
        for cells in rows:
            if len(cells) == len(names):
                # An empty cell says nothing, not "".
                yield Line(number, {name: it for name, it in zip(names, cells, strict=True) if it})
            elif cells:
                yield Line(number, fault=f"{len(cells)} cells under {len(names)} columns")
            number = rows.line_num + 1
    except csv.Error as error:
        yield Line(number, fault=f"is no CSV: {error}; the rest was not read")


def _check_header(names: list[str]) -> list[str]:
    names = [name.strip() for name in names]
    known = ImportedUser.model_fields
    missing = [name for name, it in known.items() if it.is_required() and name not in names]
    if missing:
        raise Failure(f"The first line must name the columns; {', '.join(missing)} is missing.")
    if unknown := [name for name in names if name not in known]:
        raise Failure(
            f"Columns that are not known: {', '.join(unknown)}. Take them out, or rename."
        )
    if len(set(names)) < len(names):
        raise Failure("The first line names a column twice.")
    return names


def _read_jsonl(text: TextIO) -> Iterator[Line]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            yield Line(number, fault="is no JSON")
            continue
        if isinstance(values, dict):
            yield Line(number, values)
        else:
            yield Line(number, fault="is no JSON object")
