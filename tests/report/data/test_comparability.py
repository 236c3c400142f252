"""What may be tested against each other: settings of several folders, results of others, what is left out."""

import json

import numpy as np
import polars as pl
import pytest

from surrobench.errors import ResultsError
from surrobench.report.data.external_results import read_others
from surrobench.report.data.study_data import load_study
from surrobench.report.ranking.pipeline import Wanted, rank_study
from surrobench.report.ranking.verdict_sentence import verdict_sentence
from surrobench.report.render.ranking_tables import render
from surrobench.results.folder import Results
from tests.studies import MLP, NAS, run, suite_text, surrobench

ALL = [f"hpobench/mlp/{name}" for name in ("australian", "blood_transfusion", "car", "credit_g", "kc1")]
ALL += ["hpobench/mlp/phoneme", "hpobench/mlp/segment", "hpobench/mlp/vehicle"]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    out = tmp_path_factory.mktemp("fresh") / "r"
    run(suite_text(*ALL, trials=60, seeds=2, head='noise = "fresh"\ninitial = "none"'), out)
    return Results(out)


@pytest.fixture(scope="module")
def means(tmp_path_factory):
    out = tmp_path_factory.mktemp("means") / "r"
    text = suite_text(
        *ALL, methods=("other",), trials=60, seeds=2, name="means",
        head='noise = "mean"\ninitial = "none"\ncontrol = "other"',
    )  # fmt: skip
    run(text.replace("[optimizers.other]", '[optimizers.other]\nmethod = "random"'), out)
    return Results(out)


def test_random_search_under_other_noise_is_not_ranked_against_itself_in_silence(fresh, means):
    with pytest.raises(ResultsError, match=r"noise is fresh in .* and mean in ") as refused:
        load_study([fresh, means], control="random")
    assert "--mixed-settings" in refused.value.remedy
    study = load_study([fresh, means], control="random", mixed_settings=True)
    ranking = rank_study(study, Wanted(intervals=True))
    assert ranking.versus_control is None
    assert np.isnan(ranking.friedman.p)
    assert ranking.cliques == []
    assert "nothing is tested" in verdict_sentence(ranking)
    assert any("noise is fresh" in note.text for note in ranking.notes)
    row = next(row for row in render(ranking, "csv").splitlines() if "other" in row)
    assert row.endswith(",,,,")  # no p, no corrected p, no effect, no wins


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ('initial = "random:3"', "initial is default in .* and random:3 in"),
        ("workers = 2", "workers is 1 in|workers is 2 in"),
        ("overhead = true", "overhead is false in|overhead is true in"),
    ],
)
def test_each_setting_that_a_suite_shares_counts(tmp_path, head, says):
    common = 'control = "random"\nseconds = 1e9'
    run(suite_text(MLP, head=common), tmp_path / "a")
    text = suite_text(MLP, methods=("random", "sobol"), name="b", head=f"{common}\n{head}")
    run(text.replace("[optimizers.random]", '[optimizers.theirs]\nmethod = "random"\n').replace(
        'control = "random"', 'control = "theirs"'), tmp_path / "b")  # fmt: skip
    with pytest.raises(ResultsError, match=says):
        load_study([Results(tmp_path / name) for name in "ab"], control="random")


def export(results, path, *, config):
    frame = pl.concat([results.trials(scenario_key="hpobench/mlp").collect()], how="diagonal")
    names = [name for name in frame.columns if name.startswith("config.")] if config else []
    frame.select(
        pl.lit("theirs").alias("method"), "benchmark", "seed", "trial", "value",
        *(pl.col(name).cast(pl.String) for name in names),
    ).write_csv(path)  # fmt: skip
    return read_others([path])


def test_ones_own_trials_as_results_of_others_tie_with_oneself(fresh, tmp_path):
    others = export(fresh, tmp_path / "o.csv", config=True)
    ranking = rank_study(load_study(fresh, others=others))
    (found,) = ranking.versus_control.comparisons
    assert (found.p, found.ties) == (1, 8)
    assert any("scored by the means of their configurations" in note.text for note in ranking.notes)


def test_results_of_others_without_configurations_are_not_tested_where_a_table_has_repetitions(
    fresh, tmp_path
):
    others = export(fresh, tmp_path / "o.csv", config=False)
    ranking = rank_study(load_study(fresh, others=others))
    assert ranking.versus_control is None
    assert any("the best of lucky draws" in note.text for note in ranking.notes)
    assert ranking.mean_rank[ranking.methods.index("theirs")] < 1.5  # that luck is large


def test_a_configuration_of_others_that_is_not_in_the_space_is_one_line(fresh, tmp_path):
    export(fresh, tmp_path / "o.csv", config=True)
    text = (tmp_path / "o.csv").read_text().splitlines()
    text[1] = ",".join([*text[1].split(",")[:-1], "12345"])
    (tmp_path / "o.csv").write_text("\n".join(text) + "\n")
    with pytest.raises(ResultsError, match=r"The results of others on hpobench/mlp/\w+: .*12345"):
        load_study(fresh, others=read_others([tmp_path / "o.csv"]))


def test_what_partial_leaves_out_is_listed_and_claims_are_not_judged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    claim = '[claims.c]\nsays = "sobol is better"\nbetter = "sobol"\nthan = "random"\n'
    text = suite_text(MLP, NAS, methods=("random", "sobol")) + claim
    run(text, tmp_path / "r")
    (path,) = (tmp_path / "r" / "trials").glob("nasbench201.cell/*")
    path.unlink()
    refused = surrobench("rank", "r")
    assert refused.status == 1
    document = json.loads(surrobench("rank", "r", "--partial", "--format", "json").out)
    notes = " ".join(document["notes"])
    assert f"1 of 2 benchmarks are left out, as runs are missing there: {NAS}." in notes
    assert "Missing are runs of random, sobol" in notes
    assert "claims are not judged: runs are missing, and they do not fail at random" in notes
    assert document["claims"] == []


def test_json_says_which_version_suite_and_options_a_ranking_is_of(fresh, tmp_path):
    from surrobench.system import VERSION

    others = export(fresh, tmp_path / "o.csv", config=True)
    shown = rank_study(load_study(fresh, others=others), Wanted(metric="normalised", intervals=True))
    source = json.loads(render(shown, "json"))["source"]
    assert source["surrobench"] == VERSION
    assert source["suites"] == [{"name": "tiny", "hash": fresh.manifest["suite"]["hash"]}]
    assert (source["options"]["metric"], source["options"]["intervals"]) == ("normalised", True)
    assert source["external"]
    # The ends of intervals stand in CSV as in JSON.
    table = pl.read_csv(render(shown, "csv").encode())
    theirs = table.filter(method="theirs").row(0, named=True)
    assert theirs["iqm_low"] < theirs["iqm"] < theirs["iqm_high"]
