"""`plinth openapi`: the document without a server."""

import json
from pathlib import Path

from tests.support.application import create_app
from tests.support.command import plinth


def test_openapi_command_prints_the_document_without_services(tmp_path: Path) -> None:
    nowhere = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DATA_DIR": str(tmp_path),
    }
    printed = plinth("openapi", **nowhere)
    assert printed.returncode == 0, printed.stderr
    assert json.loads(printed.stdout) == create_app().openapi()

    written = plinth("openapi", "--output", str(tmp_path / "openapi.json"), **nowhere)
    assert (written.returncode, written.stdout) == (0, "")
    assert (tmp_path / "openapi.json").read_text() == printed.stdout
