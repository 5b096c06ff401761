"""Show changes of files, and apply them all or none."""

import difflib
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.syntax import Syntax

from plinth.cli.failure import Failure
from plinth.cli.output import out


@dataclass(frozen=True, slots=True)
class Change:
    """
    Attributes:
        path: relative to the checkout's root.
        new: the new text; None to delete the file.
        old: the current text; None if the file does not exist.
    """

    path: Path
    new: str | None
    old: str | None

    @property
    def diff(self) -> str:
        name = self.path.as_posix()
        lines = difflib.unified_diff(
            (self.old or "").splitlines(keepends=True),
            (self.new or "").splitlines(keepends=True),
            "/dev/null" if self.old is None else f"a/{name}",
            "/dev/null" if self.new is None else f"b/{name}",
        )
        return "".join(lines)


def show(changes: Iterable[Change]) -> None:
    """Print a diff. Redirected to a file, it works with `git apply`."""
    for change in changes:
        if out.is_terminal:
            out.print(Syntax(change.diff, "diff", background_color="default"))
        else:
            print(change.diff, end="")


def show_names(changes: Iterable[Change]) -> None:
    for change in changes:
        verb = "removed" if change.new is None else "written" if change.old is None else "changed"
        out.print(f"  {verb}  {change.path}", markup=False)


def carry_out(root: Path, changes: Sequence[Change]) -> None:
    """
    Raises:
        Failure: a file could not be written; nothing was changed.
    """
    done: list[Change] = []
    try:
        _prepare(root, changes)
        for change in changes:
            _put(root, change.path, change.new)
            done.append(change)
    except OSError as error:
        for change in done:
            with suppress(OSError):
                _restore(root, change)
        file = f"{error.filename}: " if error.filename else ""
        raise Failure(f"{file}{error.strerror or error}. Nothing was changed.") from error
    finally:
        for change in changes:
            with suppress(OSError):
                _draft(root, change.path).unlink(missing_ok=True)


def _prepare(root: Path, changes: Sequence[Change]) -> None:
    """Write each new text to a temporary file first, because renaming rarely fails."""
    for change in changes:
        if change.new is not None:
            draft = _draft(root, change.path)
            draft.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(change.new, encoding="utf-8")
            if change.old is not None:
                shutil.copymode(root / change.path, draft)


def _put(root: Path, path: Path, text: str | None) -> None:
    if text is None:
        (root / path).unlink()
    else:
        _draft(root, path).replace(root / path)


def _restore(root: Path, change: Change) -> None:
    if change.old is None:
        (root / change.path).unlink()
    else:
        (root / change.path).write_text(change.old, encoding="utf-8")


def _draft(root: Path, path: Path) -> Path:
    return (root / path).with_name(f".{path.name}.plinth")
