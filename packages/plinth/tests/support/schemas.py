"""Queries of a schema, and a team's application with a separate migration history."""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import Script
from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, String, Table

from plinth.db.models import Base
from plinth.db.schema import steps
from tests.support.environment import ROOT

ENV = """
from alembic import context
from plinth.db.schema.environment import run_migrations

run_migrations(context.config.attributes["metadata"])
"""


def ask(url: str, query: str) -> list[Any]:
    """Return the first column of each row."""

    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [row[0] for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


@dataclass
class Team:
    """A team's folder with an empty migration history, and its database."""

    folder: Path
    url: str
    metadata: MetaData

    @classmethod
    def begin(cls, folder: Path, url: str) -> "Team":
        (folder / "alembic" / "versions").mkdir(parents=True)
        shutil.copy(ROOT / "alembic.ini", folder)
        shutil.copy(ROOT / "alembic" / "script.py.mako", folder / "alembic")
        (folder / "alembic" / "env.py").write_text(ENV)
        return cls(folder, url, Base.metadata)

    @property
    def config(self) -> Config:
        config = Config(self.folder / "alembic.ini")
        config.attributes |= {"url": self.url, "metadata": self.metadata}
        return config

    def autogenerate(self, message: str | None = None) -> str:
        """Write a migration and return its text."""
        written = command.revision(self.config, message, autogenerate=True)
        assert isinstance(written, Script)
        return Path(written.path).read_text()

    def write(self, upgrade: str, downgrade: str = "pass") -> None:
        # Two files of one minute would have the same name.
        written = command.revision(self.config, f"by hand {uuid4().hex[:8]}")
        assert isinstance(written, Script)
        path = Path(written.path)
        empty = path.read_text().partition("def upgrade")[0]
        functions = f"def upgrade():\n    {upgrade}\n\n\ndef downgrade():\n    {downgrade}\n"
        path.write_text(empty + functions)

    def upgrade(self, revision: str = "head") -> None:
        command.upgrade(self.config, revision)

    def downgrade(self, revision: str = "-1") -> None:
        command.downgrade(self.config, revision)

    def add_phone_and_shops(self) -> None:
        """Add a column with an index to the library's users, and a table."""
        metadata = MetaData(naming_convention=Base.metadata.naming_convention)
        for table in Base.metadata.sorted_tables:
            table.to_metadata(metadata)
        users = metadata.tables["users"]
        users.append_column(Column("phone", String(20)))
        Index("ix_users_phone", users.c.phone)
        Table(
            "shops",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("owner_id", ForeignKey("users.id")),
        )
        self.metadata = metadata


def add_step(folder: Path, name: str, up: str, down: str, objects: str = "") -> None:
    """Add a schema step to a copy of the library's steps."""
    new = folder / f"{len(steps.read_steps()) + 1:04}_{name}"
    new.mkdir()
    (new / "up.sql").write_text(up)
    (new / "down.sql").write_text(down)
    (new / "objects.txt").write_text(objects)
