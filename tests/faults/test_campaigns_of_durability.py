"""The short forms of the campaigns about what is on disk; ``make faults`` runs the long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from surrobench.execution.process_pool import InlineExecutor
from tests.faults import bit_flips, kills


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_kills_lose_nothing_repeat_nothing_and_leave_nobody_behind() -> None:
    count = kills.campaign(2, seed=1)
    assert count.ok, str(count)
    assert count.kills == 2


@pytest.mark.slow
def test_flipped_bits_are_noticed_or_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())
    count = bit_flips.campaign(12, seed=1)
    assert count.ok, f"{count} {count.silent} {count.broken}"
    assert count.noticed
