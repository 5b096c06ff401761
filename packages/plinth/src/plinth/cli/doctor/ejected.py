"""Check whether the library's routers have changed since the application copied them."""

from pathlib import Path

from plinth import project
from plinth.cli.doctor import Finding, doubtful, fine
from plinth.cli.eject import Origin, origin_line, read_origin, read_source
from plinth.config import Settings

NAME = "ejected routers"


def check(_: Settings) -> Finding:
    package = project.find_root() / project.find_package()
    ejected = find_ejected(package)
    if not ejected:
        return fine(NAME, "none")
    outdated = {file: origin for file, origin in ejected.items() if origin.has_changed}
    if not outdated:
        return fine(NAME, ", ".join(file.name for file in ejected))
    names = ", ".join(str(file.relative_to(package.parent)) for file in outdated)
    return doubtful(
        NAME,
        f"the library's routers have changed since they were copied: {names}",
        "Apply the changes that you need, then replace the first line with: "
        + " ".join(map(_describe, outdated.values())),
    )


def _describe(origin: Origin) -> str:
    source = read_source(origin.module)
    if source is None:
        return f"(nothing: the library no longer has {origin.module})"
    return origin_line(origin.module, source)


def find_ejected(package: Path) -> dict[Path, Origin]:
    ejected = {}
    for file in sorted(package.rglob("*.py")):
        if origin := read_origin(file.read_text(encoding="utf-8")):
            ejected[file] = origin
    return ejected
