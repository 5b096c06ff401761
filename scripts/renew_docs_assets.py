"""Fetch what `/docs` and `/redoc` are made of from the npm registry into `plinth/http/static/`.

`make -C packages/plinth docs-assets` takes those of `http/static/versions.json`; with new ones,
`scripts/renew_docs_assets.py swagger-ui-dist=5.35.0 redoc=3.0.1`. The npm client downloads, and
verifies the registry's checksums. Then look at both pages: `make -C packages/plinth test-browser`.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "packages/plinth/src/plinth/http/static"
VERSIONS = FOLDER / "versions.json"
# Of each package: its files, and under which names they lie here.
FILES = {
    "swagger-ui-dist": {
        "swagger-ui-bundle.js": "swagger-ui-bundle.js",
        "swagger-ui.css": "swagger-ui.css",
        "favicon-32x32.png": "favicon-32x32.png",
        "LICENSE": "LICENSE.swagger-ui",
        "NOTICE": "NOTICE.swagger-ui",
        "swagger-ui-bundle.js.LICENSE.txt": "LICENSE.swagger-ui-bundle",
    },
    "redoc": {
        "bundles/redoc.standalone.js": "redoc.standalone.js",
        "LICENSE": "LICENSE.redoc",
    },
}
# Redoc loads its logo from another host; this inline image replaces it.
REDOCLY = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='44' height='14'%3E%3Ctext "
    "y='11' font-family='sans-serif' font-size='11' fill='%230044d4'%3ERedocly%3C/text%3E%3C/svg%3E"
)
REPLACED = {
    "https://cdn.redoc.ly/redoc/logo-mini-full.svg": REDOCLY,
    "https://cdn.redoc.ly/redoc/logo-mini.svg": REDOCLY,
}


def main() -> None:
    known = json.loads(VERSIONS.read_text())
    asked = dict(argument.split("=", 1) for argument in sys.argv[1:])
    for package, files in FILES.items():
        version = asked.get(package) or known[package]["version"]
        known[package] = fetch(package, version, files)
        print(f"{package} {version}")  # noqa: T201
    VERSIONS.write_text(json.dumps(known, indent=2) + "\n")


def fetch(package: str, version: str, files: dict[str, str]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"{package}@{version}"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: S603
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            facts = json.loads(read(packed, "package.json"))
            for name, own_name in files.items():
                (FOLDER / own_name).write_bytes(read(packed, name))
    if package == "redoc":
        name_the_makers(FOLDER / "redoc.standalone.js")
    return {
        "version": facts["version"],
        "license": facts["license"],
        "sha256": {
            name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()
            for name in files.values()
        },
    }


def name_the_makers(script: Path) -> None:
    text = script.read_text()
    for address, picture in REPLACED.items():
        if text.count(address) != 1:
            sys.exit(f"{address} is not there once: look at what this Redoc loads instead")
        text = text.replace(address, picture)
    script.write_text(text)


def read(packed: tarfile.TarFile, name: str) -> bytes:
    member = packed.extractfile(f"package/{name}")
    assert member is not None
    return member.read()


if __name__ == "__main__":
    main()
