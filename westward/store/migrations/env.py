"""Alembic's entry: runs the migrations over the connection that ``open_store`` passes in."""

from alembic import context

from westward.store.money_schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
context.run_migrations()
