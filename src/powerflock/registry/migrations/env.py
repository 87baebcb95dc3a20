"""Run by Alembic: bring the database of the connection it was handed to the version asked for."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
