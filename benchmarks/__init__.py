"""Every figure that the documents quote has a command here: `python -m benchmarks NAME [--quick] [--json]`."""

from __future__ import annotations

BENCHMARKS = (
    "twins",
    "groups",
    "queries",
    "decode",
    "recovery",
    "curves",
    "site_optimiser",
    "site_nonconvex",
    "emhass",
    "peak",
    "policy",
    "fleet",
    "start",
    "end_to_end",
    "kafka",
    "scale",
    "cluster",
    "takeover",
)
"""The modules of this package that are benchmarks: each has `NAME`, `SUMMARY` and `run(quick) -> list[Row]`.

One with peers that are asked for by name (`--against NAME`) has them in `AGAINST`: more rows for the rows measured.
"""
