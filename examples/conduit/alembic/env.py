"""Alembic reads this file; the library migrates."""

from app.models import Base
from plinth.db.schema.environment import run_migrations

run_migrations(Base.metadata)
