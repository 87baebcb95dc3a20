"""Names and their partition: a site, with all its devices, lives in one partition for ever.

A site id is 1 to 64 characters of `[A-Za-z0-9._-]`, starting with a letter or digit.
"""

from __future__ import annotations

import re
import zlib

from powerflock.domain.errors import InvalidInput

_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


def check_site_id(site: str) -> str:
    """The id itself, or `InvalidInput`."""
    if not _SITE.fullmatch(site):
        bound = "must be 1 to 64 characters of A-Z a-z 0-9 . _ - starting with a letter or digit"
        raise InvalidInput("site id", site, bound)
    return site


def check_device_name(name: str) -> str:
    """The name itself, or `InvalidInput`."""
    if not _DEVICE.fullmatch(name):
        bound = "must be 1 to 32 characters of A-Z a-z 0-9 . _ - starting with a letter or digit"
        raise InvalidInput("device name", name, bound)
    return name


def partition_of(site: str, partitions: int) -> int:
    """CRC-32 of the id modulo `partitions`: stable across processes, languages and versions."""
    return zlib.crc32(site.encode()) % partitions
