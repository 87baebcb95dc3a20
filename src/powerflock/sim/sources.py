"""Where homes come from: invented from a seed, or replayed from a homes file or NEM12 meter data.

Must not know who runs them.
"""

from __future__ import annotations

from pathlib import Path

from powerflock.sim.homes import generate
from powerflock.sim.homes_file import read_homes
from powerflock.sim.nem12 import read_nem12
from powerflock.sim.profiles import STEPS_PER_DAY, Fleet

MOST_DAYS = 9
_STEPS_IN_MEMORY = 20_000_000


def load_homes(file: Path | None, homes: int, seed: int, start_us: int, days: int = MOST_DAYS) -> Fleet:
    """Homes of `file` (homes format, or NEM12 recognised by its first record), else `homes` generated ones.

    Generated profiles start at `start_us` (any time; taken down to 5 minutes) and hold `days`, or fewer for very large
    fleets, after which they repeat. Faults are `InvalidInput`.
    """
    if file is None:
        days = max(1, min(days, _STEPS_IN_MEMORY // (homes * STEPS_PER_DAY)))
        return generate(homes, seed, days, start_us - start_us % 300_000_000)
    return read_nem12(file) if _is_nem12(file) else read_homes(file)


def _is_nem12(file: Path) -> bool:
    if file.suffix.lower() != ".csv" or not file.is_file():
        return False
    with file.open("rb") as data:
        return data.read(16).lstrip(b"\xef\xbb\xbf").startswith(b"100,NEM12")
