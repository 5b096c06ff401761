"""The application's user model: one declaration that forms, schemas and commands follow.

A process has one user model, so these run in processes of their own, with small applications.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plinth.accounts.base_user import SESSION_FIELDS
from plinth.testing.databases import TestServices, cloned_database, on_server
from tests.support.environment import LIBRARY, run_python

ENTRIES = (
    "shop.main", "shop.models", "shop.models.user", "plinth.cli.commands", "plinth.application",
    "plinth.accounts.models", "plinth.accounts.queries", "plinth.accounts.services.sessions",
    "plinth.accounts.deps", "plinth.accounts.schemas.from_columns", "plinth.admin",
)  # fmt: skip
PLAIN = "from plinth.accounts import BaseUser\n\n\nclass User(BaseUser):\n    pass\n"
RICH = """
import enum
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import ARRAY, CheckConstraint, Enum, Index, Integer, Numeric, String, Text
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from plinth.accounts import BaseUser


class Plan(enum.Enum):
    FREE = "free"
    PAID = "paid"


class User(BaseUser):
    __table_args__ = (Index("ix_users_phone", "phone"),)

    phone: Mapped[str | None] = mapped_column(String(30))
    country: Mapped[str] = mapped_column("country_code", String(2))
    level: Mapped[int] = mapped_column(Integer, server_default="3")
    balance: Mapped[Decimal | None] = mapped_column(Numeric(6, 2))
    born: Mapped[date | None]
    extra: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    plan: Mapped[Plan] = mapped_column(Enum(Plan, native_enum=False, length=10), default=Plan.FREE)
    network: Mapped[Any] = mapped_column(INET, nullable=True)
    newsletter: Mapped[bool] = mapped_column(server_default="false")
    pin: Mapped[str | None] = mapped_column(Text, info={"secret": True})
"""
COLUMNS = """
ALTER TABLE users ADD phone varchar(30), ADD country_code varchar(2) NOT NULL,
ADD level integer NOT NULL DEFAULT 3, ADD balance numeric(6, 2), ADD born date,
ADD extra jsonb NOT NULL DEFAULT '{}', ADD tags text[], ADD plan varchar(10) NOT NULL,
ADD network inet, ADD newsletter boolean NOT NULL DEFAULT false, ADD pin text
"""
LIBRARY_INDEXES = {
    "ix_users_active", "ix_users_created_at", "ix_users_email_lower", "ix_users_search_trgm",
    "uq_users_email_lower", "uq_users_username_lower",
}  # fmt: skip


class Shop:
    """An application of two files, and processes that import it."""

    def __init__(self, folder: Path, model: str, main: str = "import plinth.application\n") -> None:
        self.folder = folder
        (folder / "shop" / "models").mkdir(parents=True)
        (folder / "shop" / "__init__.py").touch()
        (folder / "shop" / "main.py").write_text(main)
        models = "from shop.models.user import User\nfrom plinth.accounts.models import Session\n"
        (folder / "shop" / "models" / "__init__.py").write_text(models)
        (folder / "shop" / "models" / "user.py").write_text(model)

    def run(self, code: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder}{os.pathsep}{LIBRARY.parent}"
        settings = {"PYTHONPATH": path, "PLINTH_APP": "shop.main:app"} | settings
        return run_python(code, *arguments, cwd=self.folder, **settings)

    def read(self, code: str, *arguments: str, **settings: str) -> Any:
        done = self.run(code, *arguments, **settings)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, RICH)


@pytest.fixture
def database(services: TestServices, worker_id: str) -> Iterator[str]:
    with cloned_database(services, f"{worker_id}_user_model") as url:

        async def add_columns(_: Any) -> None:
            import asyncpg  # noqa: PLC0415

            connection = await asyncpg.connect(url)
            await connection.execute(COLUMNS)
            await connection.close()

        on_server(services, add_columns)
        yield url


@pytest.mark.parametrize("entry", ENTRIES)
def test_user_is_the_application_class_in_any_import_order(tmp_path: Path, entry: str) -> None:
    shop = Shop(tmp_path, PLAIN)
    code = """if True:
        import json, sys
        __import__(sys.argv[1])
        from plinth.accounts.models import Session, User
        import shop.models
        print(json.dumps([User.__module__, User is shop.models.User, User.__name__]))
    """
    assert shop.read(code, entry) == ["shop.models.user", True, "User"]


def test_user_without_an_application_is_the_default_class(tmp_path: Path) -> None:
    code = """if True:
        from plinth.accounts.models import User
        print(User.__name__, len(User.__table__.c))
    """
    path = {"PYTHONPATH": str(LIBRARY.parent), "PLINTH_APP": "nothing.main:app"}
    done = run_python(code, cwd=tmp_path, **path)
    assert (done.stdout, done.stderr) == ("User 13\n", "")


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (PLAIN + "\n\nclass Admin(User):\n    pass\n", "shop.models.user.Admin is a second user"),
        (PLAIN + "\n\nclass Person(BaseUser):\n    pass\n", "in one subclass of BaseUser"),
        ("User = None\n", "shop.models.user must define one subclass of BaseUser"),
        (
            PLAIN.replace("pass", "session_id: Mapped[int]").replace(
                "\n\n\n", "\nfrom sqlalchemy.orm import Mapped\n\n\n"
            ),
            "shop.models.user.User.session_id cannot be a column",
        ),
        ("import not_installed\n", "No module named 'not_installed'"),
    ],
)
def test_unusable_user_model_is_reported(tmp_path: Path, model: str, told: str) -> None:
    done = Shop(tmp_path, model).run("import plinth.accounts.models")
    assert done.returncode == 1
    assert told in done.stderr.splitlines()[-1]


def test_abstract_base_is_not_a_second_model(tmp_path: Path) -> None:
    shared = "class Contact(BaseUser):\n    __abstract__ = True\n\n\nclass User(Contact)"
    shop = Shop(tmp_path, PLAIN.replace("class User(BaseUser)", shared))
    assert shop.read("from plinth.accounts.models import User; print(len(User.__table__.c))") == 13


def test_indexes_of_library_and_application_are_both_kept(shop: Shop) -> None:
    code = """if True:
        import json
        from plinth.accounts.models import User
        print(json.dumps(sorted(index.name for index in User.__table__.indexes)))
    """
    assert set(shop.read(code)) == LIBRARY_INDEXES | {"ix_users_phone"}


def test_each_use_is_derived_from_the_columns(shop: Shop) -> None:
    code = """if True:
        import json
        from plinth.accounts import user_columns
        from plinth.accounts.queries.principal import Principal
        from plinth.admin.views import Users
        from plinth.accounts.schemas.from_columns import UserForm
        from plinth.accounts.schemas.from_columns import ImportedUser, exported_user
        print(json.dumps({
            "principal": Principal._fields,
            "admin": Users.columns,
            "form": list(UserForm.model_fields),
            "exported": list(exported_user(hashes=False).model_fields),
            "with hashes": list(exported_user(hashes=True).model_fields),
            "required": [n for n, it in ImportedUser.model_fields.items() if it.is_required()],
            "imported": list(ImportedUser.model_fields),
            "words": user_columns.SHORT_TEXTS,
        }))
    """
    found = shop.read(code)
    own = ["phone", "country", "level", "balance", "born", "extra", "tags", "plan", "network"]
    own += ["newsletter"]
    ours = ["email", "username", "full_name", "is_active", "is_superuser", "is_verified"]
    assert found["exported"] == ["id", *ours, "created_at", *own, "memberships"]
    assert found["with hashes"] == [*found["exported"], "hashed_password"]
    assert found["admin"] == ["id", *ours, "created_at", "updated_at", *own]
    assert found["principal"] == [*found["admin"], *SESSION_FIELDS]
    assert sorted(found["form"]) == sorted([*ours[1:], *own])
    assert found["required"] == ["email", "username", "country"]
    assert set(found["imported"]) == {*found["with hashes"], "pin"}
    assert found["words"] == ["email", "username", "full_name", "phone", "country"]


def test_change_of_an_application_flag_is_audited_without_its_value(shop: Shop) -> None:
    """The value may be personal, and an event cannot be erased."""
    code = """if True:
        import json
        from plinth.accounts.services.administration import _describe_change
        pairs = (("is_active", True), ("newsletter", True))
        print(json.dumps([_describe_change(*it) for it in pairs]))
    """
    assert shop.read(code) == ["is_active=True", "newsletter"]


IMPORT = """if True:
    import asyncio, json, sys
    from plinth.accounts.services import bulk
    from plinth.accounts.queries.principal import by_session
    from plinth.config import settings
    from plinth.db.database import Database
    from plinth.db.models import Base

    async def main():
        lines = [bulk.Line(2 + n, row) for n, row in enumerate(json.loads(sys.argv[1]))]
        database = Database(settings.DATABASE_URL, settings, Base.metadata)
        try:
            async with database.transaction() as db:
                await bulk.import_users(db, lines)
            async with database.transaction() as db:
                rows = [it.model_dump(mode="json") async for it in bulk.export_users(db)]
            assert await database.reader.all(by_session, ids=[]) == []
        except bulk.ImportRefused as refusal:
            rows = [f"{it.line} {it.message}" for it in refusal.problems]
        finally:
            await database.close()
        print(json.dumps(rows))

    asyncio.run(main())
"""
ADA = {"email": "ada@example.com", "username": "ada", "country": "GB"}
GRACE = {
    "email": "grace@example.com", "username": "grace", "country": "US", "phone": "+1 555 0100",
    "level": "7", "balance": "12.50", "born": "1906-12-09", "extra": '{"a": [1]}', "tags": ["x"],
    "plan": "paid", "network": "192.0.2.1", "newsletter": "t", "pin": "1906",
}  # fmt: skip


def test_import_sets_application_columns_and_their_defaults(shop: Shop, database: str) -> None:
    ada, grace = shop.read(IMPORT, json.dumps([ADA, GRACE]), DATABASE_URL=database)
    own = set(GRACE) - {"pin"}
    assert {name: grace[name] for name in own} == {name: GRACE[name] for name in own} | {
        "level": 7, "extra": {"a": [1]}, "newsletter": True,
    }  # fmt: skip
    defaults = {"level": 3, "extra": {}, "plan": "free", "newsletter": False}
    assert {name: ada[name] for name in own} == dict.fromkeys(own) | ADA | defaults
    assert "pin" not in grace


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("phone", "x" * 31), ("phone", 5), ("country", None), ("country", "two\nlines"),
        ("level", "x"), ("level", 2**31), ("level", True), ("level", None), ("balance", "1e9"),
        ("balance", "1.234"), ("born", 5), ("born", "1906"), ("extra", "{"), ("tags", "x"),
        ("plan", "dear"), ("newsletter", 1.0), ("nickname", "x"),
    ],
)  # fmt: skip
def test_invalid_value_is_reported_by_line_and_column(shop: Shop, column: str, value: Any) -> None:
    code = """if True:
        import json, sys
        from pydantic import ValidationError
        from plinth.accounts.services.bulk import Line, _LineParser
        parser = _LineParser(superusers=False)
        list(parser.parse([Line(3, json.loads(sys.argv[1]))]))
        print(json.dumps([f"{it.line} {it.message.partition(':')[0]}" for it in parser.problems]))
    """
    assert shop.read(code, json.dumps(ADA | {column: value})) == [f"3 {column}"]


@pytest.mark.parametrize(
    ("column", "value"), [("network", "x"), ("tags", [5]), ("extra", '"\\u0000"')]
)
def test_value_refused_by_the_database_is_reported_by_line(
    shop: Shop, database: str, column: str, value: Any
) -> None:
    row = ADA | {"email": "b@example.com", "username": "bob", column: value}
    (told,) = shop.read(IMPORT, json.dumps([ADA, row]), DATABASE_URL=database)
    assert told.startswith("3 ")
    assert "192" not in told


ADD_SERVICE_USER = """if True:
    import asyncio, json
    from plinth.accounts.models import User
    from plinth.config import settings
    from plinth.db.database import Database
    from plinth.db.models import Base
    from plinth.organizations.queries import service_account
    from plinth.organizations.services.service_accounts import ServiceAccountColumn, _require_values

    async def main():
        database = Database(settings.DATABASE_URL, settings, Base.metadata)
        try:
            _require_values()
            async with database.transaction() as db:
                user = await db.get_one(User, await service_account.add_user(db, "Sync"))
                print(json.dumps([user.country, user.phone]))
        except ServiceAccountColumn as error:
            print(json.dumps(error.detail))
        finally:
            await database.close()

    asyncio.run(main())
"""


def test_service_account_needs_a_value_of_each_required_column(shop: Shop, database: str) -> None:
    detail = shop.read(ADD_SERVICE_USER, DATABASE_URL=database)
    assert "the required column users.country. Declare it" in detail


def test_service_account_has_the_declared_values(tmp_path: Path, database: str) -> None:
    model = RICH.replace("String(2))", 'String(2), info={"service_account": "ZZ"})').replace(
        "String(30))", 'String(30), info={"service_account": lambda: "+1"})'
    )
    shop = Shop(tmp_path, model)
    assert shop.read(ADD_SERVICE_USER, DATABASE_URL=database) == ["ZZ", "+1"]
