"""The responses of a running server conform to the OpenAPI document.

Schemathesis generates valid and invalid requests, uses values of responses in later requests, and
validates each response. `FUZZ_EXAMPLES` is the number of examples for each operation.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from plinth.testing.databases import TestServices, cloned_database
from plinth.testing.people import PASSWORD
from tests.support.command import plinth
from tests.support.environment import ROOT, bare_environment
from tests.support.serving import serving

EMAIL = "fuzz@example.com"


def test_responses_conform_to_the_openapi_document(services: TestServices, tmp_path: Path) -> None:
    with cloned_database(services, "fuzz") as url:
        settings: dict[str, Any] = {
            "ENVIRONMENT": "development",
            "DATABASE_URL": url,
            "REDIS_URL": services.redis_url,
            "CACHE_PREFIX": f"fuzz-{services.run}",
            "LOGIN_FAILURE_MS": "0",
            "LIMITS_ENABLED": "false",
            "MAIL_WORKER": "false",
        }
        name = ("--email", EMAIL, "--username", "fuzz", "--password-env", "FUZZ_PASSWORD")
        plinth("create-superuser", *name, FUZZ_PASSWORD=PASSWORD, **settings)
        with serving(tmp_path, plain=True, application="tests.fuzz.app:app", **settings) as server:
            found = fuzz(server.url)
    assert found.returncode == 0, found.stdout[-20_000:]


def fuzz(api: str) -> subprocess.CompletedProcess[str]:
    account = {"FUZZED_API": api, "FUZZ_EMAIL": EMAIL, "FUZZ_PASSWORD": PASSWORD}
    return subprocess.run(
        [
            *(
                Path(sys.executable).with_name("st"),
                "--config-file",
                "packages/plinth/tests/fuzz/schemathesis.toml",
            ),
            *("run", f"{api}/openapi.json", "--continue-on-failure"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--no-color"),
            *("--max-examples", os.environ.get("FUZZ_EXAMPLES", "20")),
        ],
        cwd=ROOT,
        env=bare_environment() | account | {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks"},
        capture_output=True,
        text=True,
        check=False,
    )
