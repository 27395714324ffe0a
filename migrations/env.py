"""How Alembic reaches the database: through the connection it is handed, else the configured URL."""

from alembic import context

from app.database import VERSION_TABLE, connect
from app.settings import load
from app.tables import Table


def run(connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        version_table=VERSION_TABLE,
        render_as_batch=True,
        compare_type=True,
        compare_server_default=True,
        # The table that Alembic keeps its own state in belongs to no migration.
        include_name=lambda name, kind, parents: kind != "table" or name in Table.metadata.tables,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with connect(load().url).begin() as opened:
        run(opened)
