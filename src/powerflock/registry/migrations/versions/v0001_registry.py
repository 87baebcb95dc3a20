"""Partitions, sites, events and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "partitions",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("devices", sa.Integer, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("published", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sites",
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("row", sa.Integer, nullable=False),
        sa.Column("devices", _DOCUMENT, nullable=False),
        sa.Column("spec", _DOCUMENT, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("enrolled_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("partition", "row", name="one_site_a_row"),
    )
    op.create_table(
        "events",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("row", sa.Integer, nullable=False),
        sa.Column("devices", _DOCUMENT, nullable=False),
        sa.Column("spec", _DOCUMENT, nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables, with all that is in them."""
    for name in ("events", "sites", "outbox", "partitions"):
        op.drop_table(name)
