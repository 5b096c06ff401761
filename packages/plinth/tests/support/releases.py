"""Wheels of the library with another version and other files, without a build."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import ZipFile

Edit = Callable[[str], str]


def repack(
    wheel: Path,
    folder: Path,
    version: str,
    *,
    name: str = "plinth-backend",
    edits: Mapping[str, Edit] | None = None,
    more: Mapping[str, str] | None = None,
) -> Path:
    """Write the wheel of another release into the folder.

    Args:
        edits: functions that change the text of a file, by its name; empty text removes the file.
        more: additional files, by name.
    """
    stem = name.replace("-", "_")
    target = folder / f"{stem}-{version}-py3-none-any.whl"
    old = "-".join(wheel.name.split("-")[:2])
    with ZipFile(wheel) as source, ZipFile(target, "w") as made:
        for info in source.infolist():
            data = source.read(info)
            if info.filename.endswith(".dist-info/METADATA"):
                data = data.replace(b"Name: plinth-backend", f"Name: {name}".encode(), 1)
                data = re.sub(
                    rb"^Version: .*$", f"Version: {version}".encode(), data, flags=re.MULTILINE
                )
            if edit := (edits or {}).get(info.filename):
                data = edit(data.decode()).encode()
                if not data:
                    continue
            info.filename = info.filename.replace(f"{old}.dist-info", f"{stem}-{version}.dist-info")
            made.writestr(info, data)
        for path, text in (more or {}).items():
            made.writestr(path, text)
    return target
