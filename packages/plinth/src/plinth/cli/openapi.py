import json
import sys
from pathlib import Path

from plinth.cli.application import load_application


def run(file: Path | None) -> None:
    document = json.dumps(load_application().openapi(), indent=2, ensure_ascii=False) + "\n"
    if file is None:
        sys.stdout.write(document)
    else:
        file.write_text(document, encoding="utf-8")
