import json
import sys
from pathlib import Path

from plinth.application import app


def run(file: Path | None) -> None:
    document = json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"
    if file is None:
        sys.stdout.write(document)
    else:
        file.write_text(document, encoding="utf-8")
