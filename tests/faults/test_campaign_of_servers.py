"""The short form of the campaign about servers; ``make faults`` runs the long one."""

from __future__ import annotations

import pytest

from tests.faults import servers


@pytest.mark.slow
def test_servers_that_misbehave_cost_no_traceback_no_hang_and_no_trial() -> None:
    assert len(servers.KINDS) >= 40
    count = servers.campaign(6, seed=1)
    assert count.ok, f"{count} {count.tracebacks} {count.hangs} {count.replaced} {count.others}"
    assert count.ended.total() == 6
