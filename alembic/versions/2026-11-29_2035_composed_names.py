"""composed names

Revision ID: 1f6a92d7e0b5
Revises: 8e41c7a05b92
Create Date: 2026-11-29 20:35:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "1f6a92d7e0b5"
down_revision: str | None = "8e41c7a05b92"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# What is typed and searched for is in NFC from now on. Unicode's forms exist in UTF-8 alone.
COMPOSE = """
DO $$
BEGIN
    IF current_setting('server_encoding') = 'UTF8' THEN
        UPDATE users SET full_name = normalize(full_name, NFC)
        WHERE full_name IS NOT NFC NORMALIZED
        AND char_length(normalize(full_name, NFC)) <= 255;
    END IF;
END
$$
"""


def upgrade() -> None:
    op.execute(COMPOSE)


def downgrade() -> None:
    pass
