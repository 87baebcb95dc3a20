"""The database's versions, for Alembic: each a module under `versions`, never changed once it was released."""
