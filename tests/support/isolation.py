"""Importing this keeps the developer's settings, of `.env` and of the environment, from deciding
what a test sees. Where the tests' own servers are is theirs to say.
"""

import os
import re
from pathlib import Path

from dotenv import dotenv_values

ROOT = Path(__file__).parents[2]
SERVERS = ("TEST_DATABASE_URL", "TEST_REDIS_URL")
KEPT = {*SERVERS, "DATA_DIR"}
SETTINGS = set(re.findall(r"^#([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
FOREIGN = re.compile("PG|OTEL_")  # libpq's, which the driver reads too, and OpenTelemetry's

for name in [*os.environ]:
    if name in SETTINGS - KEPT or FOREIGN.match(name):
        del os.environ[name]
for name, value in dotenv_values(ROOT / ".env").items():
    if name in SERVERS and value:
        os.environ.setdefault(name, value)
os.environ["PLINTH_ENV_FILE"] = ""
