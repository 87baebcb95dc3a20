"""The registry's tables as the program sees them; `migrations` makes them, and a test holds one against the other.

Invariants: (partition, row) is one site's; (partition, number) is one event's, numbers without gaps; `partitions` holds
each partition's ends and is the row that whoever changes it locks. Times are microseconds UTC of the plant's clock.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Integer, MetaData, String, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData()
DOCUMENT = JSON().with_variant(JSONB(), "postgresql")

PARTITIONS = Table(
    "partitions",
    METADATA,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("rows", Integer, nullable=False),
    Column("devices", Integer, nullable=False),
    Column("events", BigInteger, nullable=False),
)
"""One row for each partition: how many rows and devices it has, and the number of its newest event."""

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("published", BigInteger, nullable=False),
)
"""The number of the newest event of each partition that is in the log; apart, so that no enrolment waits for it."""

SITES = Table(
    "sites",
    METADATA,
    Column("site", String(64), primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("row", Integer, nullable=False),
    Column("devices", DOCUMENT, nullable=False),
    Column("spec", DOCUMENT, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("enrolled_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    UniqueConstraint("partition", "row", name="one_site_a_row"),
)
"""Each site as it is now; `version` is the number of its newest event, `devices` the numbers of its nameplates."""

EVENTS = Table(
    "events",
    METADATA,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("row", Integer, nullable=False),
    Column("devices", DOCUMENT, nullable=False),
    Column("spec", DOCUMENT, nullable=False),
    Column("time_us", BigInteger, nullable=False),
)
"""What was ever enrolled or changed: only added to."""
