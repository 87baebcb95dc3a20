"""Ports opened, and why one could not be."""

from __future__ import annotations

import os
import socket

from powerflock.domain.errors import InvalidInput


def listen(host: str, port: int, setting: str, remedy: str = "Choose another.") -> socket.socket:
    """A socket that listens there, or `InvalidInput` that names the setting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise InvalidInput(setting, port, f"cannot be opened on {host}: {why(error)}", remedy) from error


def why(error: OSError) -> str:
    """The system's own words for what kept a port shut."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
