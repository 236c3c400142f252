"""The short form of the campaign of bad inputs; ``make faults`` runs the long one."""

from __future__ import annotations

from tests.faults import bad_inputs


def test_bad_inputs_end_with_a_status_and_one_line_and_write_nothing() -> None:
    assert len(bad_inputs.INPUTS) >= 200
    count = bad_inputs.campaign(30, seed=1)
    assert count.ok, f"{count} {vars(count)}"
    assert count.statuses.total() == 30
