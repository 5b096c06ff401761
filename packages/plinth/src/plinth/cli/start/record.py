"""`.plinth.json` of a project: the library's version, and the hash of each generated file.

`plinth upgrade` updates the files that still have the recorded hash.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from plinth.cli.failure import Failure
from plinth.cli.start.wheel import ProjectFile

NAME = ".plinth.json"
PIN = re.compile(r"(plinth-backend(?:\[[^\]]*\])?\s*(~=|==|>=)\s*)\d[\w.]*")


@dataclass(frozen=True, slots=True)
class Record:
    """
    Attributes:
        name: of the project.
        files: the digest of each file, by its path.
    """

    version: str
    name: str
    database: str
    files: dict[str, str]

    def render(self) -> str:
        return json.dumps(asdict(self), indent=4) + "\n"


def digest(text: str) -> str:
    """Return a hash of the text that does not depend on the pinned version of the library."""
    return sha256(PIN.sub(r"\1", text).encode()).hexdigest()


def digest_all(files: Iterable[ProjectFile]) -> dict[str, str]:
    return {file.name: digest(file.text) for file in files}


def read(project: Path) -> Record:
    """
    Raises:
        Failure: the file is missing or damaged.
    """
    path = project / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Failure(
            f"There is no {path}: run the command in a project that `plinth start` created."
        ) from None
    except (OSError, ValueError):
        content = None
    fields = content if isinstance(content, dict) else {}
    texts = [fields.get(name) for name in ("version", "name", "database")]
    files = fields.get("files")
    if not isinstance(files, dict) or not all(isinstance(it, str) for it in texts):
        raise Failure(f"{path} is damaged: restore it from version control.")
    version, name, database = map(str, texts)
    return Record(version, name, database, files)
