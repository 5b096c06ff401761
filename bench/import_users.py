"""Time of an import of 100,000 users.

    python -m bench.import_users [--users 100000]

Limit: one minute, and the import is complete. The output also has the times of a second import of
the same file, which skips all lines, and of an export. Each runs `plinth` in a separate process.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

from plinth import devservices as embedded
from plinth.db import migrations

PROMISED = 60  # seconds
DJANGOS = "pbkdf2_sha256$1000000$seasalt$UZDbgoh9dWFxzWfYa+BLALUSjULj4AuOEN+LbSYwMTE="


def write_file(path: Path, users: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("email,username,full_name,hashed_password,is_active,created_at\n")
        for number in range(users):
            file.write(
                f"user{number}@example.com,user{number},Given{number % 977} Family{number % 7919},"
                f"{DJANGOS},true,2024-02-29T12:00:00Z\n"
            )


def run(*arguments: str | Path, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "plinth.cli", "users", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    took = time.perf_counter() - began
    print(f"{arguments[0]!s:8} {took:6.1f} s   {done.stdout.strip()}")
    return took


async def count(url: str) -> int:
    connection = await asyncpg.connect(url)
    found: int = await connection.fetchval("SELECT count(*) FROM users")
    await connection.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    users = parser.parse_args().users
    with (
        tempfile.TemporaryDirectory(prefix="plinth-bench-", dir="/tmp") as folder,
        embedded.services(Path(folder)) as endpoints,
    ):
        assert endpoints.owner_url
        assert endpoints.redis_url
        migrations.upgrade(endpoints.owner_url)
        given = {"DATABASE_URL": endpoints.owner_url, "REDIS_URL": endpoints.redis_url}
        environment = os.environ | given | {"DATA_DIR": folder}
        file, copy = Path(folder, "users.csv"), Path(folder, "copy.jsonl")
        write_file(file, users)
        took = run("import", file, environment=environment)
        assert asyncio.run(count(endpoints.owner_url)) == users
        run("import", "--skip-duplicates", file, environment=environment)
        assert asyncio.run(count(endpoints.owner_url)) == users
        run("export", copy, environment=environment)
    sys.exit(0 if took < PROMISED * users / 100_000 else 1)


if __name__ == "__main__":
    main()
