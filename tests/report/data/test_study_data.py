"""From results folders to what a ranking needs, on small studies that were really run."""

import numpy as np
import polars as pl
import pytest

from surrobench.benchmarks.registry import benchmark, scenario
from surrobench.errors import ResultsError, UnknownName, UsageError
from surrobench.protocol.budget import Budget
from surrobench.report.data.load import RunFilter
from surrobench.report.data.study_data import load_study
from surrobench.results.folder import Results
from surrobench.stats.regret import quantile_regret
from surrobench.stats.steps import UNITS
from tests.incumbent import final_incumbents
from tests.llm.faulty_server import FaultyServer
from tests.studies import FCN, MLP, NAS, answer, run, suite_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "r"
    run(suite_text(MLP, NAS, methods=("random", "sobol"), trials=6), out)
    return out


def losses(folder, name):
    """All trials on a benchmark as losses, in order."""
    sign = benchmark(name).objective.sign
    trials = Results(folder).trials(["run", "benchmark", "optimizer", "seed", "trial", "value", "score"])
    return (
        trials.filter(pl.col("benchmark") == name)
        .with_columns(loss=sign * pl.col("value"), score=sign * pl.col("score"))
        .sort("optimizer", "seed", "trial")
        .collect()
    )


@pytest.mark.parametrize("most", [1, 4, 6])
def test_the_incumbents_are_those_of_the_trials(folder, most):
    study = load_study(Results(folder), Budget(trials=most))
    for name in (MLP, NAS):
        trials = losses(folder, name)
        expected = final_incumbents(trials.lazy(), most).join(trials.unique("run"), on="run")
        mine = study.incumbents.filter(pl.col("benchmark") == name).sort("method", "seed")
        assert mine["score"].to_list() == expected.sort("optimizer", "seed")["score"].to_list()
        assert set(mine["trials"]) == {most}


def test_curves_areas_and_ends_are_those_of_the_trials(folder):
    study = load_study(Results(folder), units=UNITS, area=True)
    curves = study.anytime().curves("trials")
    for i, name in enumerate(curves.instances):
        reference = benchmark(name).reference.sorted_losses
        trials = losses(folder, name)
        for (method, seed), one in trials.group_by("optimizer", "seed"):
            j, s = curves.methods.index(method), curves.seeds.index(seed)
            loss, score = one["loss"].to_numpy(), one["score"].to_numpy()
            expected = quantile_regret([score[np.argmin(loss[: t + 1])] for t in range(6)], reference)
            assert curves.quantile[i, j, s] == pytest.approx(expected)
            [area] = study.incumbents.filter(
                (pl.col("benchmark") == name) & (pl.col("method") == method) & (pl.col("seed") == seed)
            )["area"]
            assert area == pytest.approx(expected.mean())
    by_time = study.anytime().steps["seconds"]
    assert (by_time.end > 0).all()
    assert (study.anytime().steps["tokens"].end == 0).all()
    assert (study.anytime().steps["equivalents"].end == 6).all()


def test_limits_of_seconds_and_equivalents_leave_out_what_comes_later(tmp_path):
    run(suite_text(MLP, trials=6, seeds=1, head="equivalents = 6.0\nseconds = 1e9"), tmp_path / "r")
    results = Results(tmp_path / "r")
    finished = results.trials(["trial", "finished"]).collect().sort("trial")["finished"].to_list()
    for limit in (Budget(equivalents=3.0), Budget(seconds=finished[2])):
        study = load_study(results, limit, units=("trials", "seconds"))
        assert study.steps["trials"].end.tolist() == [3]
        assert study.steps["seconds"].end.tolist() == [finished[2]]
        assert (
            study.incumbents["score"].to_list()
            == load_study(results, Budget(trials=3)).incumbents["score"].to_list()
        )


def test_a_part_is_chosen_by_patterns(folder):
    results = Results(folder)
    part = load_study(results, choice=RunFilter(benchmarks=["hpobench/*"], methods=["rand*", "sobol"]))
    assert set(part.incumbents["benchmark"]) == set(part.references) == {MLP}
    assert set(load_study(results, choice=RunFilter(methods=["sobol"])).incumbents["method"]) == {"sobol"}
    with pytest.raises(UnknownName, match=r"Unknown method 'sobel'\. Did you mean 'sobol'"):
        load_study(results, choice=RunFilter(methods=["sobel"]))
    with pytest.raises(UnknownName, match="The results have: none"):
        load_study(results, choice=RunFilter(models=["m"]))


def test_a_study_is_split_by_family(folder):
    study = load_study(Results(folder))
    parts = dict(study.split(lambda name: name.partition("/")[0]))
    assert list(parts) == ["hpobench", "nasbench201"]
    assert set(parts["hpobench"].references) == {MLP}
    whole, part = study.anytime(), parts["nasbench201"].anytime()
    assert np.array_equal(part.final()[0], whole.final()[whole.instances.index(NAS)])


def test_folders_are_ranked_together_and_a_run_in_two_of_them_counts_once(folder, tmp_path):
    run(suite_text(MLP, NAS, methods=("random", "latin-hypercube"), trials=6, name="more"), tmp_path / "m")
    run(suite_text(FCN, methods=("random", "sobol"), trials=6, name="third"), tmp_path / "t")
    both = load_study([Results(folder), Results(tmp_path / "m")])
    assert set(both.incumbents["method"]) == {"random", "sobol", "latin-hypercube"}
    assert len(both.incumbents) == 3 * 2 * 2
    assert len(both.runs) == 12
    third = load_study([Results(folder), Results(tmp_path / "t")])
    assert set(third.references) == {MLP, NAS, FCN}
    alone = load_study(Results(folder)).incumbents
    joined = third.incumbents.filter(pl.col("benchmark") != FCN)
    order = ["benchmark", "method", "seed"]
    assert joined.sort(order).equals(alone.sort(order))


def test_the_longer_of_two_recordings_of_a_run_counts(folder, tmp_path):
    run(suite_text(MLP, NAS, methods=("random", "sobol"), trials=2, name="short"), tmp_path / "s")
    both = load_study([Results(tmp_path / "s"), Results(folder)])
    assert set(both.incumbents["trials"]) == {6}


def test_runs_that_differ_under_one_name_are_a_conflict(folder, tmp_path):
    run(suite_text(MLP, methods=("random",), trials=6, head='initial = "none"'), tmp_path / "o")
    with pytest.raises(ResultsError, match="is not the same run in") as conflict:
        load_study([Results(folder), Results(tmp_path / "o")])
    assert str(conflict.value).count("\n") == 0
    assert f"random on {MLP} seed 0" in conflict.value.message
    assert "like 1 more" in conflict.value.message


def test_a_run_to_which_a_model_replied_twice_is_a_conflict_and_its_replay_is_none(tmp_path):
    with FaultyServer(answer) as server:
        text = suite_text(MLP, models={"m": server.url}, trials=3)
        run(text, tmp_path / "a")
    run(text, tmp_path / "replay", replay=tmp_path / "a")
    run(text.replace("trials = 3", "trials = 2"), tmp_path / "short", replay=tmp_path / "a")
    with FaultyServer(lambda body: answer({**body, "other": 1})) as other:
        run(text.replace(server.url, other.url), tmp_path / "b")
    folders = {name: Results(tmp_path / name) for name in ("a", "b", "replay", "short")}
    assert len(load_study([folders[name] for name in ("short", "a", "replay")]).runs) == 4
    with pytest.raises(ResultsError, match="is not the same run in") as conflict:
        load_study([folders["a"], folders["b"]])
    assert "its model was asked again and replied otherwise" in conflict.value.message
    assert f"on {MLP} seed 0" in conflict.value.message
    assert "like 1 more" in conflict.value.message


def test_suites_that_differ_in_their_control_need_a_choice(folder, tmp_path):
    run(suite_text(MLP, NAS, methods=("sobol",), head='control = "sobol"', trials=6), tmp_path / "c")
    folders = [Results(folder), Results(tmp_path / "c")]
    with pytest.raises(UsageError, match=r"differ in their control: random .*, sobol"):
        load_study(folders)
    assert load_study(folders, control="sobol").control == "sobol"


def test_the_test_metric_is_that_of_the_incumbents_trial_and_else_not_available(folder, monkeypatch):
    assert load_study(Results(folder), test_metric=True).incumbents["test"].null_count() == 8
    where = scenario("hpobench/mlp")
    other = next(o.name for o in where.objectives if o.name != where.target)
    monkeypatch.setattr(where, "test_counterpart", {where.target: other}, raising=False)
    study = load_study(Results(folder), test_metric=True)
    trials = Results(folder).trials(scenario_key="hpobench/mlp").collect()
    sign = where.objectives[where.target_index].sign
    for method, seed in (("random", 0), ("sobol", 1)):
        one = trials.filter((pl.col("optimizer") == method) & (pl.col("seed") == seed)).sort("trial")
        chosen = int((sign * one["value"]).arg_min())
        mine = study.incumbents.filter(
            (pl.col("benchmark") == MLP) & (pl.col("method") == method) & (pl.col("seed") == seed)
        )
        assert mine["test"].to_list() == [one[f"objective.{other}"][chosen]]
    assert study.incumbents.filter(pl.col("benchmark") == NAS)["test"].null_count() == 4
