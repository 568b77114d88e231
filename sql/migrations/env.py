"""Alembic's entry: runs on the connection that `sql.migrate` hands over."""

from alembic import context
from sqlalchemy import text

from sql.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
for name, milliseconds in context.config.attributes["timeouts"].items():
    connection.execute(text(f"SET {name} = {milliseconds}"))
connection.commit()
with context.begin_transaction():
    context.run_migrations()
