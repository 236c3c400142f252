from dataclasses import astuple
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from surrobench.errors import ResultsError
from surrobench.report.claims import HEADINGS, how, judge_claims, note, row, stated_claims
from surrobench.report.data.seed_array import cells
from surrobench.report.data.study_data import StudyData
from surrobench.suite.claims import Claim
from tests.report.ranking.test_build import SCHEMA, frame, random_scores, references

LABELS = ("random", "tpe", "cmaes", "agent (small)", "agent (large)")


def study(scores, methods=LABELS, size=1001, trials=None):
    runs = frame(scores, methods).with_columns(trials=pl.lit(trials, pl.Int64))
    return StudyData(runs, references(len(scores), size), {}, "random")


def claim(**keys):
    return Claim.model_validate({"says": "so it is", **keys})


def judged(scores, alpha=0.05, **claims):
    return judge_claims(claims, {None: study(scores)}, alpha)


def quantile(scores, size=1001):
    losses = np.linspace(0, 1, size)
    both = np.searchsorted(losses, scores) + np.searchsorted(losses, scores, side="right")
    return (both / 2 + 1) / (size + 1)


def test_a_groups_value_is_the_mean_over_its_methods_and_a_label_stands_for_all_its_models():
    scores = random_scores(8, 5)
    (found,) = judged(scores, c=claim(better=["tpe", "cmaes"], than="agent"))
    means = quantile(scores).mean(axis=2)
    expected = means[:, 3:].mean(axis=1) - means[:, 1:3].mean(axis=1)
    assert found.advantages == pytest.approx(expected)
    p = stats.wilcoxon(expected, zero_method="zsplit", alternative="greater").pvalue
    assert found.evidence.p_holds == found.p == pytest.approx(p)
    (one,) = judged(scores, c=claim(better="tpe", than="agent (large)"))
    assert one.advantages == pytest.approx(means[:, 4] - means[:, 1])


def test_the_three_verdicts():
    scores = random_scores(9, 5)
    scores[:, 1] = scores[:, 0] / 10
    holds, fails, unclear = judged(
        scores,
        a=claim(better="tpe", than="random"),
        b=claim(better="random", than="tpe"),
        c=claim(better="agent (small)", than="agent (large)", margin=0.001),
    )
    assert [one.verdict for one in (holds, fails, unclear)] == ["holds", "does not hold", "not resolved"]
    assert holds.p == fails.p == pytest.approx(3 / 2**9)
    assert (holds.detectable, fails.detectable) == (None, None)
    assert 0 < unclear.detectable < 1


def test_a_gap_is_a_difference_of_differences():
    scores = random_scores(8, 5)
    (found,) = judged(
        scores,
        c=claim(
            gap={"better": "agent (small)", "than": "random"},
            smaller_than={"better": "agent (large)", "than": "random"},
        ),
    )
    means = quantile(scores).mean(axis=2)
    assert found.advantages == pytest.approx(means[:, 3] - means[:, 4])
    assert "agent (large) over random less that of agent (small) over random" in how(found)


@pytest.mark.parametrize("metric", ["normalised", "log-quantile"])
def test_other_metrics(metric):
    scores = random_scores(8, 5)
    (found,) = judged(scores, c=claim(better="tpe", than="random", metric=metric))
    values = 2 * scores if metric == "normalised" else np.log10(quantile(scores))
    means = values.mean(axis=2)
    assert found.advantages == pytest.approx(means[:, 0] - means[:, 1])


def test_only_the_seeds_common_to_the_methods_of_a_claim_count():
    scores = random_scores(6, 5, 4)
    runs = study(scores).incumbents
    runs = runs.filter(~pl.col("method").str.starts_with("agent") | (pl.col("seed") < 2))
    of = StudyData(runs, references(6, 1001), {}, "random")
    few, many = judge_claims(
        {"a": claim(better="tpe", than="agent"), "b": claim(better="tpe", than="random")}, {None: of}
    )
    assert (few.seeds, many.seeds) == (2, 4)
    means = quantile(scores).mean(axis=2)
    assert many.advantages == pytest.approx(means[:, 0] - means[:, 1])


def test_a_claim_is_judged_after_as_many_trials_as_it_says():
    early, late = random_scores(6, 5, seed=1), random_scores(6, 5, seed=2)
    stated = {"a": claim(better="tpe", than="random", after=5), "b": claim(better="tpe", than="random")}
    first, second = judge_claims(stated, {5: study(early, trials=5), None: study(late, trials=20)})
    assert (first.trials, second.trials) == (5, 20)
    assert first.advantages == pytest.approx(np.subtract(*quantile(early).mean(axis=2)[:, :2].T))
    assert "after 5 trials" in how(first)


def test_methods_without_a_limit_are_judged_at_their_end_whatever_the_limit_of_another():
    early, late = random_scores(6, 5, seed=1), random_scores(6, 5, seed=2)
    runs = pl.concat([study(early, trials=20).incumbents, study(late).incumbents])
    runs = runs.filter(~pl.col("method").str.starts_with("agent") | (pl.col("trials") == 20))
    of = StudyData(runs, references(6, 1001), {}, "random")
    stated = {"a": claim(better="tpe", than="random"), "b": claim(better="tpe", than="agent")}
    whole, cut = judge_claims(stated, {None: of})
    assert (whole.trials, cut.trials) == (None, 20)
    assert whole.advantages == pytest.approx(np.subtract(*quantile(late).mean(axis=2)[:, :2].T))
    assert "trials" not in how(whole)


def test_too_few_instances_resolve_nothing_and_say_so():
    (found,) = judged(random_scores(3, 5), c=claim(better="tpe", than="random"))
    assert found.verdict == "not resolved"
    assert found.detectable == float("inf")
    assert "n = 3 instances are too few at any size" in how(found)
    assert row(found)[HEADINGS.index("interval")] == "none"
    assert "could be reached is 0.12" in note([found])


def test_the_order_of_methods_instances_and_seeds_does_not_matter():
    scores = random_scores(7, 5, 3)
    stated = {"c": claim(better=["tpe", "cmaes"], than="random")}
    rng = np.random.default_rng(0)
    columns = rng.permutation(5)
    other = scores[rng.permutation(7)][:, columns][..., rng.permutation(3)]
    (plain,) = judge_claims(stated, {None: study(scores)})
    (moved,) = judge_claims(stated, {None: study(other, [LABELS[j] for j in columns])})
    assert (moved.evidence.p_holds, moved.evidence.p_fails) == (
        plain.evidence.p_holds,
        plain.evidence.p_fails,
    )
    assert astuple(moved.evidence) == pytest.approx(astuple(plain.evidence))


def test_methods_without_a_common_seed_cannot_be_compared():
    runs = study(random_scores(4, 2), ("random", "tpe")).incumbents
    runs = runs.filter((pl.col("method") == "tpe") == (pl.col("seed") > 0))
    with pytest.raises(ResultsError, match="No seed is common to random, tpe"):
        cells(StudyData(runs, references(4), {}, "random"))


def test_damaged_claims_are_an_error_with_a_remedy(tmp_path):
    manifest = {"suite": {"claims": {"c": {"says": "x", "better": ["a"]}}}}
    with pytest.raises(ResultsError, match=r"The claims in .* are damaged\. Repeat the run command"):
        stated_claims(SimpleNamespace(manifest=manifest, folder=tmp_path))
    assert stated_claims(SimpleNamespace(manifest={"suite": {}}, folder=tmp_path)) == {}


def test_the_schema_of_incumbents_is_the_rankings():
    assert set(SCHEMA) | {"trials"} == set(study(random_scores(2, 5)).incumbents.columns)
