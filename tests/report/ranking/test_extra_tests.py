"""Further tests beside the ranking's own: that each is given the right numbers, and says what it did."""

import csv
import io
import json
import shutil
import subprocess

import baycomp
import numpy as np
import pandas as pd
import polars as pl
import pytest
from rich.console import Console
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from surrobench.errors import UnknownName, UsageError
from surrobench.report.ranking.build import rank_methods
from surrobench.report.ranking.extra_tests import with_extra_tests
from surrobench.report.ranking.model import EXTRA_TESTS
from surrobench.report.render.ranking_tables import render, rich_table
from surrobench.stats.bayes import hierarchical
from tests.report.ranking.test_build import frame, random_scores, references, study


def scores_apart(n=9, s=4):
    """Of random, tpe (much better) and cmaes (the same but for noise of a thousandth)."""
    scores = random_scores(n, 3, s) / 2 + 0.3
    scores[:, 1] /= 20
    scores[:, 2] = scores[:, 0] + np.random.default_rng(5).normal(0, 0.001, (n, s))
    return scores


def found(ranking, test, **options):
    return with_extra_tests(ranking, [test], **options).extra_tests[0]


def gains(ranking, method):
    control = ranking.methods.index("random")
    return ranking.values[:, control] - ranking.values[:, ranking.methods.index(method)]


def named(one, method):
    return dict(zip([number.key for number in one.numbers], one.values[method], strict=True))


def test_bayes_agrees_with_baycomp_on_the_blocks_of_the_ranking():
    ranking = study(random_scores(12, 3))
    one = found(ranking, "bayes", rope=0.05)
    for method in ("tpe", "cmaes"):
        theirs = baycomp.SignedRankTest(
            np.zeros(12), gains(ranking, method), 0.05, nsamples=20_000, random_state=1
        )
        left, within, right = theirs.sample.mean(axis=0)
        assert named(one, method)["share"] == pytest.approx(right, abs=0.01)
        assert named(one, method)["same"] == pytest.approx(
            (theirs.sample.argmax(axis=1) == 1).mean(), abs=0.02
        )
        assert left + within + right == pytest.approx(1)


def test_hierarchical_is_given_the_difference_of_every_seed():
    ranking = study(random_scores(7, 3, 5))
    one = found(ranking, "hierarchical", rope=0.02)
    by_run = ranking.by_run["quantile_regret"]
    difference = by_run[:, ranking.methods.index("random")] - by_run[:, ranking.methods.index("tpe")]
    expected = hierarchical(difference, 0.02, np.random.default_rng(0))
    assert named(one, "tpe")["better"] == expected.better
    assert named(one, "tpe")["difference"] == pytest.approx(gains(ranking, "tpe").mean())


def test_the_mixed_model_agrees_with_statsmodels_and_its_interval_holds_the_difference():
    ranking = study(random_scores(9, 4, 3))
    one = found(ranking, "mixed")
    long = pd.DataFrame(
        [
            (ranking.values[i, j], instance, method)
            for i, instance in enumerate(ranking.instances)
            for j, method in enumerate(ranking.methods)
        ],
        columns=["y", "instance", "method"],
    )
    theirs = AnovaRM(long, "y", "instance", ["method"]).fit().anova_table
    assert one.facts["f"] == pytest.approx(theirs["F Value"].iloc[0])
    assert one.facts["p"] >= theirs["Pr > F"].iloc[0] or one.facts["f"] < 1
    for method in one.values:
        row = named(one, method)
        assert row["difference"] == pytest.approx(gains(ranking, method).mean())
        assert row["low"] < row["difference"] < row["high"]
    assert one.facts["n"] == 9
    assert one.facts["seeds"] == 3


def test_sign_flip_agrees_with_scipy():
    ranking = study(random_scores(9, 3))
    one = found(ranking, "sign-flip")
    for method in ("tpe", "cmaes"):
        theirs = stats.permutation_test(
            (gains(ranking, method),), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert named(one, method)["p"] == pytest.approx(theirs.pvalue)
    p = {method: named(one, method)["p"] for method in ("tpe", "cmaes")}
    smaller, larger = sorted(p, key=p.get)
    assert named(one, smaller)["p_corrected"] == pytest.approx(min(1, 2 * p[smaller]))
    assert named(one, larger)["p_corrected"] == pytest.approx(max(p[larger], min(1, 2 * p[smaller])))


@pytest.mark.parametrize("test", EXTRA_TESTS)
def test_a_method_that_is_better_everywhere_is_found_and_one_that_is_the_same_is_not_called_better(test):
    one = found(study(scores_apart()), test)
    assert one.findings["tpe"] == "better"
    # That two are the same can be shown by a region of equivalence only.
    assert one.findings["cmaes"] == ("same" if test in {"bayes", "hierarchical"} else "")
    assert found(study(scores_apart(), control="tpe"), test).findings["random"] == "worse"


def test_without_a_region_of_equivalence_there_is_no_column_for_it():
    one = found(study(random_scores()), "bayes", rope=0)
    assert [number.key for number in one.numbers] == ["difference", "better", "worse", "share"]
    assert "no region of practical equivalence" in one.note
    row = named(one, "tpe")
    assert row["better"] + row["worse"] == pytest.approx(1)


@pytest.mark.parametrize("test", EXTRA_TESTS)
def test_instances_of_one_cluster_are_one_block_of_every_test(test):
    scores = random_scores(8)
    clusters = {f"b{i:02}": f"data set {i % 8}" for i in range(16)}
    plain = found(study(scores), test)
    clustered = found(study(np.concatenate([scores, scores]), clusters=clusters), test)
    assert clustered.facts["n"] == plain.facts["n"] == 8
    for method, row in plain.values.items():
        assert clustered.values[method] == pytest.approx(row)
    assert "n = 8 blocks" in clustered.note
    assert "n = 8 instances" in plain.note


@pytest.mark.parametrize("metric", ["normalised", "log"])
def test_they_test_the_metric_that_is_ranked(metric):
    ranking = study(random_scores(), metric=metric)
    one = found(ranking, "sign-flip")
    assert named(one, "tpe")["difference"] == pytest.approx(gains(ranking, "tpe").mean())
    assert f"{metric} regret" in one.note


def test_every_note_states_n_and_how_it_is_corrected_or_what_it_assumes_beforehand():
    for correction, name in (("holm", "Holm"), ("bh", "Benjamini-Hochberg")):
        ranking = with_extra_tests(study(random_scores(), correction=correction), EXTRA_TESTS, 0.02)
        for one in ranking.extra_tests:
            assert "n = 8" in one.note
            bayesian = one.test in {"bayes", "hierarchical"}
            wanted = ("Prior: ", "±0.02", "No correction") if bayesian else (f"{name} over 3 comparisons",)
            assert all(words in one.note for words in wanted), one.note


def test_every_format_shows_them():
    ranking = with_extra_tests(study(scores_apart()), EXTRA_TESTS, 0.01)
    console = Console(width=100, file=io.StringIO(), color_system=None)
    console.print(rich_table(ranking))
    printed = console.file.getvalue()
    markdown, latex = render(ranking, "markdown"), render(ranking, "latex")
    for text in (printed, markdown, latex):
        for one in ranking.extra_tests:
            assert one.title in text
            assert one.cells("tpe")[0].lstrip("+") in text
    assert "| tpe | **+" in markdown
    data = json.loads(render(ranking, "json"))["also"]
    assert [one["test"] for one in data] == list(EXTRA_TESTS)
    assert data[0]["methods"]["tpe"]["finding"] == "better"
    assert (data[0]["rope"], data[0]["n"]) == (0.01, 9)
    assert data[3]["smallest_reachable_p"] == pytest.approx(2 * 2 / 2**9)
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(render(ranking, "csv")))}
    assert float(rows["tpe"]["sign_flip_p"]) == ranking.extra_tests[3].values["tpe"][1]
    assert rows["random"]["bayes_better"] == ""
    assert "bayes_better" not in render(study(random_scores()), "csv")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX")
def test_latex_is_accepted_by_latex(tmp_path):
    body = render(with_extra_tests(study(scores_apart()), EXTRA_TESTS), "latex")
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "t.tex").write_text(document)
    subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize("test", EXTRA_TESTS)
def test_what_cannot_be_tested_is_said_and_is_no_number(test):
    one = found(study(random_scores(1)), test)
    shown = render(with_extra_tests(study(random_scores(1)), [test]), "json")
    assert "NaN" not in shown
    if test != "sign-flip":
        assert ("not testable" if test == "mixed" else "1 block: too few, 6 are needed") in one.note
        assert np.isnan(one.values["tpe"]).any()
        assert "" in one.cells("tpe")
        assert not any(one.findings.values())


@pytest.mark.parametrize("test", ["bayes", "hierarchical"])
def test_five_blocks_say_nothing_of_probabilities_and_six_do(test):
    # Of two blocks that point one way, the prior alone made 96 %.
    for n, said in ((2, False), (5, False), (6, True)):
        one = found(study(scores_apart(n)), test)
        assert (one.findings["tpe"] == "better") == said
        assert np.isnan(named(one, "tpe")["better"]) != said
        assert (f"{n} blocks: too few, 6 are needed" in one.note) != said


def test_methods_with_more_seeds_get_them_apart():
    runs = frame(random_scores(6, 3, 5)).filter((pl.col("method") != "cmaes") | (pl.col("seed") < 2))
    ranking = with_extra_tests(rank_methods(runs, references(6)), ["sign-flip"])
    assert set(ranking.extra_tests[0].values) == {"tpe", "cmaes"}
    assert set(ranking.further.extra_tests[0].values) == {"tpe"}
    assert "mean of 5 seeds" in ranking.further.extra_tests[0].note


def test_mistakes_are_named():
    with pytest.raises(UnknownName, match="Did you mean 'bayes'"):
        with_extra_tests(study(random_scores()), ["baies"])
    with pytest.raises(UsageError, match="0 <= rope"):
        with_extra_tests(study(random_scores()), ["bayes"], -0.1)
