"""canonical addresses

Revision ID: 4b8e1f60c7d3
Revises: b35f9a17e0c4
Create Date: 2026-11-29 19:55:00+00:00
"""

import logging
from collections.abc import Sequence
from inspect import cleandoc

import sqlalchemy as sa
from alembic import context, op

from plinth.config import settings
from plinth.security.addresses import UNUSUAL, Account, Plan, canonical, plan_keys

revision: str = "4b8e1f60c7d3"
down_revision: str | None = "b35f9a17e0c4"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

logger = logging.getLogger("alembic.runtime.migration")

# Written by the application; for plain SQL, and for the previous release during a rolling deploy,
# the trigger fills it in. Of an ASCII address that is the canonical form. Of another one it is what
# the account's own spelling is found by, until `plinth users addresses` computes the form.
SET_EMAIL_CANONICAL = """
CREATE OR REPLACE FUNCTION set_email_canonical() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.email_canonical IS NULL OR (
        TG_OP = 'UPDATE'
        AND NEW.email_canonical = OLD.email_canonical
        AND lower(NEW.email) <> lower(OLD.email)
    ) THEN
        NEW.email_canonical = lower(NEW.email COLLATE "C");
    END IF;
    RETURN NEW;
END
$$
"""
# The backfill is no change of the users: `updated_at` stays. Triggers fire by their names' order.
KEEP_UPDATED_AT = """
CREATE OR REPLACE FUNCTION zz_keep_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = OLD.updated_at;
    RETURN NEW;
END
$$
"""
# In batches with a commit each, because the application keeps writing. Where the locale's `lower`
# treats ASCII in its own way (Turkish: "I" is not "i"), the own spelling is the only safe key.
FILL_IN = """
DO $$
DECLARE
    place bigint := 0;
    next bigint;
BEGIN
    LOOP
        SELECT max(id) INTO next
        FROM (SELECT id FROM users WHERE id > place ORDER BY id LIMIT 10000) AS batch;
        EXIT WHEN next IS NULL;
        UPDATE users
        SET email_canonical = CASE
            WHEN lower(email) = lower(lower(email COLLATE "C")) THEN lower(email COLLATE "C")
            ELSE email
        END
        WHERE id > place AND id <= next AND email_canonical IS NULL;
        COMMIT;
        place := next;
    END LOOP;
END
$$
"""
# As separate statements, because NOT NULL alone would scan the table under its strongest lock.
REQUIRE = (
    """
    -- squawk-ignore ban-drop-constraint
    ALTER TABLE users DROP CONSTRAINT IF EXISTS ck_users_email_canonical
    """,
    """
    ALTER TABLE users ADD CONSTRAINT ck_users_email_canonical CHECK (email_canonical IS NOT NULL)
    NOT VALID
    """,
    "ALTER TABLE users VALIDATE CONSTRAINT ck_users_email_canonical",
    """
    -- squawk-ignore prefer-robust-stmts
    ALTER TABLE users ALTER COLUMN email_canonical SET NOT NULL
    """,
    """
    -- squawk-ignore ban-drop-constraint
    ALTER TABLE users DROP CONSTRAINT IF EXISTS ck_users_email_canonical
    """,
)
# Not CONCURRENTLY: it would wait for processes that wait for this migration. The index over
# `lower(email)` is what the previous release looks people up by. PostgreSQL checks indexes in the
# order in which they were made: of an account that is there already, the address comes first.
INDEX = (
    """
    -- squawk-ignore require-concurrent-index-creation
    CREATE UNIQUE INDEX IF NOT EXISTS uq_users_email_canonical ON users (email_canonical)
    """,
    """
    -- squawk-ignore require-concurrent-index-creation
    CREATE UNIQUE INDEX IF NOT EXISTS uq_users_username ON users (lower(username))
    """,
    """
    -- squawk-ignore require-concurrent-index-creation
    CREATE INDEX IF NOT EXISTS ix_users_email_lower ON users (lower(email))
    """,
)
# The previous release knows a taken address by the index of this name.
SWAP = (
    "DROP TRIGGER zz_keep_updated_at ON users",
    """
    -- squawk-ignore ban-drop-function
    DROP FUNCTION zz_keep_updated_at()
    """,
    """
    -- squawk-ignore require-concurrent-index-deletion
    DROP INDEX uq_users_email_lower
    """,
    """
    -- squawk-ignore require-concurrent-index-deletion
    DROP INDEX uq_users_username_lower
    """,
    """
    -- squawk-ignore renaming-object
    ALTER INDEX uq_users_email_canonical RENAME TO uq_users_email_lower
    """,
    """
    -- squawk-ignore renaming-object
    ALTER INDEX uq_users_username RENAME TO uq_users_username_lower
    """,
)

ACCOUNTS = "SELECT id, email, is_verified, email_canonical FROM users WHERE email_canonical "
CLAIM = """
UPDATE users SET email_canonical = claimed.form
FROM unnest(CAST(:ids AS bigint[]), CAST(:forms AS text[])) AS claimed (id, form)
WHERE users.id = claimed.id
"""


def upgrade() -> None:
    add_column()
    # Each statement by itself from here on: nothing holds a lock while the table is gone through.
    with op.get_context().autocommit_block():
        # Minutes for millions of users; each batch is a transaction of its own.
        op.execute("SET statement_timeout = 0")
        run(FILL_IN)
        op.execute(f"SET statement_timeout = '{settings.MIGRATION_TIMEOUT}s'")
        run(*REQUIRE, *INDEX)
        if not context.is_offline_mode():
            report(claim_forms(op.get_bind()))
    run(*SWAP)


def run(*statements: str) -> None:
    for statement in statements:
        op.execute(cleandoc(statement))


def add_column() -> None:
    """Run again without an error, because an interrupted migration is repeated from here."""
    op.add_column(
        "users",
        sa.Column("email_canonical", sa.Text(collation="C"), nullable=True),
        if_not_exists=True,
    )
    op.execute(SET_EMAIL_CANONICAL)
    op.execute(
        "CREATE OR REPLACE TRIGGER set_email_canonical BEFORE INSERT OR UPDATE OF email ON users"
        " FOR EACH ROW EXECUTE FUNCTION set_email_canonical()"
    )
    op.execute(KEEP_UPDATED_AT)
    op.execute(
        "CREATE OR REPLACE TRIGGER zz_keep_updated_at BEFORE UPDATE OF email_canonical ON users"
        " FOR EACH ROW EXECUTE FUNCTION zz_keep_updated_at()"
    )


def claim_forms(connection: sa.Connection) -> Plan:
    unusual = connection.execute(sa.text(ACCOUNTS + "~ :unusual"), {"unusual": UNUSUAL})
    found = {row.id: Account(*row) for row in unusual}
    forms = list({canonical(account.email) for account in found.values()})
    holders = connection.execute(sa.text(ACCOUNTS + "= ANY(:forms)"), {"forms": forms})
    plan = plan_keys((found | {row.id: Account(*row) for row in holders}).values())
    ids = [account.id for account, _ in plan.changes]
    connection.execute(sa.text(CLAIM), {"ids": ids, "forms": [form for _, form in plan.changes]})
    return plan


def report(plan: Plan) -> None:
    for first, *others in plan.collisions:
        logger.warning(
            "users %s have the address of user %s in another spelling. All of them can still sign "
            "in, each by their own spelling. See docs/how-to/users.md, Addresses that collide.",
            ", ".join(str(account.id) for account in others),
            first.id,
        )


def downgrade() -> None:
    op.drop_index("ix_users_email_lower", "users")
    op.drop_index("uq_users_email_lower", "users")
    op.drop_index("uq_users_username_lower", "users")
    op.execute("DROP TRIGGER set_email_canonical ON users")
    op.execute("DROP FUNCTION set_email_canonical()")
    op.drop_column("users", "email_canonical")
    op.create_index("uq_users_email_lower", "users", [sa.text("lower(email)")], unique=True)
    op.create_index("uq_users_username_lower", "users", [sa.text("lower(username)")], unique=True)
