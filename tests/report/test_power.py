from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from surrobench.errors import ResultsError, UnknownName, UsageError
from surrobench.report.data.seed_array import SeedArray, cells, cells_beside
from surrobench.report.data.study_data import StudyData
from surrobench.report.power import MOST, plan_power
from surrobench.stats.power import powers, simulated, variation
from tests.report.ranking.test_build import frame, random_scores, references

METHODS = ("agent", "random", "tpe")


def pilot(n=10, s=4, effect=0.05, methods=METHODS):
    rng = np.random.default_rng(0)
    regret = 0.2 + rng.normal(0, 0.02, (n, len(methods), 1)) + rng.normal(0, 0.05, (n, len(methods), s))
    regret[:, -1] -= effect
    return SeedArray(methods, tuple(f"b{i}" for i in range(n)), tuple(range(s)), 20, regret)


def planned(pilots, control, **options):
    pilots = [pilots] if isinstance(pilots, SeedArray) else pilots
    return plan_power(pilots, control, **{"simulations": 200, **options})


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
    assert "it leaves out that the pilot is a sample" in text
    # With two seeds, true effects of 7 % power were predicted to have 18 %.
    few = planned(pilot(s=2), "random", seeds=[2], instances=[5])
    assert "looks two to three times as large as it is" in " ".join(few.notes)
    assert "two to three times" not in text
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


# ---------------------------------------------------------------------- methods that differ


def part(of, methods, seeds):
    """Some of a pilot's methods and its first seeds."""
    columns = [of.methods.index(method) for method in methods]
    return replace(of, methods=methods, seeds=of.seeds[:seeds], regret=of.regret[:, columns, :seeds])


def unequal():
    """A study in which the agent has 1 of 3 seeds, and 20 of 30 trials."""
    scores = random_scores(8, 3)
    runs = pl.concat(
        frame(scores + more, METHODS).with_columns(trials=pl.lit(most, pl.Int64))
        for most, more in ((20, 0.01), (30, 0.0))
    )
    less = (pl.col("seed") < 1) & (pl.col("trials") == 20)
    runs = runs.filter((pl.col("method") != "agent") | less)
    return StudyData(runs, references(8), {}, "random")


def test_what_one_method_lacks_takes_nothing_from_the_comparisons_of_the_others():
    study = unequal()
    first, second = cells_beside(study, "random")
    assert (first.methods, first.seeds, first.trials) == (("agent", "random"), (0,), 20)
    assert (second.methods, second.seeds, second.trials) == (("random", "tpe"), (0, 1, 2), 30)
    assert (second.regret == cells(study, methods=["random", "tpe"]).regret).all()
    assert cells_beside(study, "agent")[0].methods == METHODS  # nobody has more in common with it


def test_the_control_must_be_there_and_alone_is_no_pilot():
    with pytest.raises(UnknownName, match="Did you mean 'random'"):
        cells_beside(unequal(), "rndom")
    alone = replace(unequal(), incumbents=unequal().incumbents.filter(method="random"))
    with pytest.raises(ResultsError, match="only random"):
        planned(cells_beside(alone, "random"), "random")


def test_methods_with_more_seeds_are_planned_and_the_one_with_one_is_shown_with_one():
    of = pilot()
    pilots = [part(of, ("agent", "random"), 1), part(of, ("random", "tpe"), 4)]
    plan = planned(pilots, "random", instances=[10])
    assert [(row.method, row.seeds) for row in plan.rows] == [
        ("agent", 1), ("tpe", 2), ("tpe", 4), ("tpe", 8), ("tpe", 16),
    ]  # fmt: skip
    asked = planned(pilots, "random", methods=["tpe"], seeds=[8], instances=[10])
    assert asked.rows == (plan.rows[3],)
    assert planned(pilots, "random", seeds=[8], instances=[10]).rows == asked.rows
    text = " ".join(plan.notes)
    for said in (
        "10 instances; agent: 1 common seed after 20 trials; tpe: 4 common seeds after 20 trials.",
        "Each method is compared on the seeds",
        "agent: one seed tells nothing",
        "Holm over 2",
    ):
        assert said in text
    with pytest.raises(UsageError, match="agent and random have one common seed"):
        planned(pilots, "random", methods=["tpe", "agent"], seeds=[8])


def test_comparisons_one_by_one_are_the_study_that_they_are_together():
    """The instances that are drawn are the same for all, and the seeds where all have the same."""
    of = pilot(methods=("agent", "random", "sobol", "tpe"))
    apart = [part(of, ("agent", "random"), 4), part(of, ("random", "sobol", "tpe"), 4)]
    options = {"seeds": [2, 4], "instances": [6, 12]}
    both = planned(apart, "random", **options).rows, planned(of, "random", **options).rows
    for one, same in zip(*both, strict=True):
        assert replace(one, detectable=0) == replace(same, detectable=0)
        assert one.detectable == pytest.approx(same.detectable)


def test_each_benchmark_can_count_by_itself():
    study = replace(unequal(), data_sets={"b00": "car", "b03": "car"})
    for by_data_set, n in ((True, 7), (False, 8)):
        found = cells_beside(study, "random", by_data_set=by_data_set)
        assert [len(one.instances) for one in found] == [n, n]


def test_what_an_instance_is_is_said():
    said = {
        blocks: " ".join(planned(pilot(), "random", seeds=[2], instances=[5], blocks=blocks).notes)
        for blocks in ("data-set", "instance")
    }
    assert "Benchmarks of one data set count as one instance." in said["data-set"]
    assert "Each benchmark is an instance of its own, as asked for" in said["instance"]
