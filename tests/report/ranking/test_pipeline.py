"""What ``rank`` and ``plot`` make of a study: above all, which benchmarks are one block."""

import json

import numpy as np
import polars as pl
import pytest

from surrobench.benchmarks.registry import benchmark, scenario
from surrobench.report.data.seed_array import cells
from surrobench.report.data.study_data import StudyData
from surrobench.report.ranking.pipeline import Wanted, rank_study
from surrobench.report.render.ranking_tables import render
from tests.report.ranking.test_build import frame, random_scores, references


def study_on(data_sets, scores=None):
    """A study on b00, b01, ... which are on these data sets."""
    of = {f"b{i:02}": name for i, name in enumerate(data_sets)}
    scores = random_scores(len(of)) if scores is None else scores
    return StudyData(
        incumbents=frame(scores).with_columns(trials=pl.lit(None, pl.Int64)),
        references=references(len(of)),
        models={},
        control="random",
        data_sets=of,
    )


def test_benchmarks_of_one_data_set_are_one_block_and_it_is_said():
    study = study_on(["car", "kc1", "car", "segment", "car", "kc1"])
    ranking = rank_study(study)
    assert ranking.friedman.n == 3
    (note,) = (note for note in ranking.notes if "share a data set" in note.text)
    assert "b00 and b02 and b04 (car); b01 and b05 (kc1). Tests count the mean" in note.text
    assert "b03" not in note.text
    blocks = [one["block"] for one in json.loads(render(ranking, "json"))["per_instance"]]
    assert blocks == ["car", "kc1", "car", "b03", "car", "kc1"]


def test_each_can_be_asked_to_count_by_itself_and_that_is_labelled():
    ranking = rank_study(study_on(["car", "kc1", "car"]), Wanted(blocks="instance"))
    assert ranking.friedman.n == 3
    (note,) = (note for note in ranking.notes if "share a data set" in note.text)
    assert "count each as a block of its own, as asked for" in note.text
    assert "p-values are too small" in note.text


def test_where_none_share_one_nothing_is_said():
    ranking = rank_study(study_on(["car", "kc1", "segment"]))
    assert not any("data set:" in note.text for note in ranking.notes)


def test_the_same_study_under_two_names_gives_the_p_values_of_one():
    scores = random_scores(8)
    names = [f"d{i}" for i in range(8)]
    once = rank_study(study_on(names, scores))
    twice = rank_study(study_on(names * 2, np.concatenate([scores, scores])))
    assert [c.p for c in twice.versus_control.comparisons] == [c.p for c in once.versus_control.comparisons]


def test_claims_and_power_count_what_ranks_count():
    scores = random_scores(6)
    names = [f"d{i}" for i in range(6)]
    once, twice = cells(study_on(names, scores)), cells(study_on(names * 2, np.concatenate([scores, scores])))
    assert once.instances == tuple(f"b{i:02}" for i in range(6))
    assert twice.instances == tuple(names)
    assert twice.regret == pytest.approx(once.regret)


# ---------------------------------------------------------------------- what is one data set


def test_every_table_names_its_data_sets():
    assert benchmark("hpobench/mlp/blood_transfusion").data_set == "blood-transfusion-service-center"
    assert benchmark("hpobench/mlp/australian").data_set == "australian"
    assert benchmark("nasbench201/cell/cifar10").data_set == "cifar-10"
    keys = ("hpobench/mlp", "hpolib/fcnet", "nasbench201/cell")
    names = [scenario(key).data_set(instance) for key in keys for instance in scenario(key).instances]
    assert len(set(names)) == len(names)


@pytest.mark.yahpo
@pytest.mark.parametrize(
    "same",
    [
        # By OpenML's own records: task 53 and task 167168 are on data set 54, and so on.
        ("hpobench/mlp/vehicle", "yahpo/lcbench/167168", "yahpo/rbv2_xgboost/54", "yahpo/rbv2_rpart/54"),
        ("hpobench/mlp/car", "yahpo/lcbench/189905", "yahpo/rbv2_rpart/40975"),
        ("hpobench/mlp/australian", "yahpo/lcbench/167104", "yahpo/rbv2_xgboost/40981"),
        ("hpobench/mlp/credit_g", "yahpo/lcbench/167161", "yahpo/rbv2_rpart/31"),
        ("nasbench201/cell/cifar10", "yahpo/rbv2_rpart/40927"),
    ],
)
def test_one_data_set_has_one_name_in_every_family(same):
    assert len({benchmark(name).data_set for name in same}) == 1


@pytest.mark.yahpo
@pytest.mark.parametrize("key", ["yahpo/lcbench", "yahpo/rbv2_xgboost", "yahpo/rbv2_rpart"])
def test_two_instances_of_a_surrogate_are_two_data_sets(key):
    names = [scenario(key).data_set(instance) for instance in scenario(key).instances]
    assert len(set(names)) == len(names)


def test_an_instance_of_a_table_of_ones_own_is_nobody_elses(tmp_path):
    (tmp_path / "mine.csv").write_text(
        "instance,config.depth,minimize.loss\n" + "".join(f"car,{d},{d / 10}\n" for d in range(1, 6))
    )
    mine = benchmark(f"table:{tmp_path / 'mine.csv'}")
    assert mine.card.dataset == "car"
    assert mine.data_set == mine.id
