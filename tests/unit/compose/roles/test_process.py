"""However a role's process ends, it gives back what it had."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from starlette.routing import BaseRoute

from powerflock.compose.gauges import Gauge
from powerflock.compose.roles.process import Parts, _serve, run_role
from powerflock.compose.sockets import listen
from powerflock.domain.errors import InvalidInput, LogError


class Broken:
    """A role whose log cannot be mended."""

    drained = False

    @property
    def routes(self) -> Sequence[BaseRoute]:
        return []

    async def run(self) -> None:
        raise LogError("the log is gone")

    async def drain(self) -> None:
        self.drained = True

    def waits_for(self) -> str:
        return ""

    def gauges(self) -> list[Gauge]:
        return []

    def more_metrics(self) -> str:
        return ""


def test_a_role_without_a_cluster_is_refused_before_it_touches_another_processs_log(parts: Parts) -> None:
    with pytest.raises(InvalidInput, match="`powerflock up` needs none"):
        run_role(parts.settings, "twins", lambda _: Broken())


async def test_a_process_that_ends_by_a_defect_leaves_its_group(parts: Parts) -> None:
    """A membership left open would keep the process alive, and its partitions from others, for ever."""
    role = Broken()
    with pytest.raises(LogError, match="the log is gone"):
        await _serve(role, "twins", parts, listen("127.0.0.1", 0, "process.port"))
    assert role.drained
