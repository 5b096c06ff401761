from sqlalchemy import Table

from plinth.db.database import Database
from tests.kit.drafts import Apart, Draft, Folder

TABLES = [table for model in (Folder, Draft) if isinstance(table := model.__table__, Table)]
TRIGGERS = """
CREATE TRIGGER set_updated_at BEFORE UPDATE ON {table} FOR EACH ROW
    WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER count_version BEFORE UPDATE ON {table} FOR EACH ROW
    WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION count_version();
"""


async def make_tables(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.run_sync(Apart.metadata.create_all, TABLES)
        for table in TABLES:
            for trigger in TRIGGERS.format(table=table.name).split(";")[:-1]:
                await connection.exec_driver_sql(trigger)


async def drop_tables(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.run_sync(Apart.metadata.drop_all, TABLES)
