import numpy as np
import pytest

from surrobench.errors import ResultsError, UnknownName, UsageError
from surrobench.report.cells import Cells
from surrobench.report.power import MOST, plan_power
from surrobench.stats.power import powers, simulated, variation

METHODS = ("agent", "random", "tpe")


def pilot(n=10, s=4, effect=0.05, methods=METHODS):
    rng = np.random.default_rng(0)
    regret = 0.2 + rng.normal(0, 0.02, (n, len(methods), 1)) + rng.normal(0, 0.05, (n, len(methods), s))
    regret[:, -1] -= effect
    return Cells(methods, tuple(f"b{i}" for i in range(n)), tuple(range(s)), 20, regret)


def planned(*arguments, **options):
    return plan_power(*arguments, **{"simulations": 200, **options})


def test_a_row_for_each_method_and_number_of_seeds_and_a_column_for_each_of_instances():
    plan = planned(pilot(), "random", seeds=[2, 8], instances=[20, 5])
    assert plan.instances == (5, 20)
    assert [(row.method, row.seeds) for row in plan.rows] == [
        ("agent", 2), ("agent", 8), ("tpe", 2), ("tpe", 8),
    ]  # fmt: skip
    agent, tpe = plan.rows[1], plan.rows[3]
    assert tpe.observed == tpe.effect > 0.02
    assert tpe.power[0].value < tpe.power[1].value > agent.power[1].value
    assert agent.power[1].value < 0.5


def test_the_powers_are_those_of_the_simulation():
    of = pilot()
    plan = planned(of, "random", seeds=[3], instances=[8], effect=0.04)
    gains = (of.regret[:, [1]] - of.regret[:, [0, 2]]).transpose(0, 2, 1)
    found = variation(gains)
    noise = simulated(found, 8, 3, 200, np.random.default_rng([0, 8, 3]))
    assert [row.power[0] for row in plan.rows] == powers(noise, found.centre, 0.04, 0.05)


def test_what_is_needed_reaches_the_power_and_one_instance_less_hardly_does():
    (row,) = planned(pilot(), "random", methods=["tpe"], effect=0.05, seeds=[4], instances=[5]).rows
    assert 5 < row.needed < MOST
    for size, reaches in ((row.needed, True), (row.needed - 2, False)):
        (again,) = planned(pilot(), "random", methods=["tpe"], effect=0.05, seeds=[4], instances=[size]).rows
        assert (again.power[0].value >= 0.8) == reaches


def test_an_effect_too_small_is_never_found():
    (row,) = planned(pilot(), "random", methods=["tpe"], effect=0.0001, seeds=[4], instances=[5]).rows
    assert row.needed is None


def test_the_same_seed_gives_the_same_plan_and_another_hardly_differs():
    one, same, other = (planned(pilot(), "random", seed=seed, seeds=[4]) for seed in (1, 1, 2))
    assert one == same != other
    for ours, theirs in zip(one.rows, other.rows, strict=True):
        for a, b in zip(ours.power, theirs.power, strict=True):
            assert abs(a.value - b.value) <= 5 * np.hypot(a.error, b.error)


def test_one_seed_says_nothing_of_more():
    plan = planned(pilot(s=1), "random")
    assert {row.seeds for row in plan.rows} == {1}
    assert any("more seeds cannot be planned" in note for note in plan.notes)
    with pytest.raises(UsageError, match="one common seed"):
        planned(pilot(s=1), "random", seeds=[5])


def test_the_notes_state_test_correction_effect_and_error():
    text = " ".join(planned(pilot(n=4), "random", seeds=[2], instances=[5]).notes)
    for part in ("4 instances, 4 common seeds", "Wilcoxon", "Holm over 2", "Monte-Carlo", "quantile regret",
                 "too large where a method was picked", "n = 4 instances are too few"):  # fmt: skip
        assert part in text
    assert "picked" not in " ".join(planned(pilot(), "random", effect=0.1, seeds=[2], instances=[5]).notes)


def test_wrong_usage_is_refused():
    with pytest.raises(UnknownName, match="Did you mean 'random'"):
        planned(pilot(), "randm")
    with pytest.raises(UnknownName, match="Unknown method 'tp'"):
        planned(pilot(), "random", methods=["tp"])
    with pytest.raises(UsageError, match="random is the control"):
        planned(pilot(), "random", methods=["random"])
    with pytest.raises(ResultsError, match="two benchmarks"):
        planned(pilot(n=1), "random")
    with pytest.raises(ResultsError, match="only random"):
        planned(pilot(methods=("random",)), "random")
