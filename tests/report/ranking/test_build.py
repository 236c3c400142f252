from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from autorank import autorank
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from surrobench.errors import DataError, ResultsError, UnknownName, UsageError
from surrobench.report.ranking.build import rank_methods
from surrobench.report.ranking.extra_columns import intervals, with_intervals
from surrobench.report.ranking.model import METRICS, RankingSettings
from surrobench.stats.improvement import probability_of_improvement
from surrobench.stats.paired import wilcoxon
from surrobench.stats.ranks import bars, conover

SCHEMA = {"benchmark": pl.String, "method": pl.String, "seed": pl.Int64, "score": pl.Float64}
METHODS = ("random", "tpe", "cmaes", "agent", "grid", "opro")


def study(scores, methods=METHODS, size=101, models=None, **options):
    """The ranking of scores in [0, 1], shape (benchmarks, methods, seeds), on evenly spaced references."""
    settings = RankingSettings(**options)
    return rank_methods(frame(scores, methods), references(len(scores), size), settings, models=models)


def interval_note(ranking):
    return with_intervals(ranking).notes[-2].text


def frame(scores, methods=METHODS):
    return pl.DataFrame(
        [
            (f"b{i:02}", methods[j], s, float(score))
            for (i, j, s), score in np.ndenumerate(np.asarray(scores, float))
        ],
        schema=SCHEMA,
        orient="row",
    )


def references(n, size=101):
    space = np.linspace(0, 1, size)
    return {
        f"b{i:02}": SimpleNamespace(best=0.0, median=0.5, worst=1.0, sorted_losses=space) for i in range(n)
    }


def random_scores(n=8, k=4, s=3, seed=0):
    return np.random.default_rng(seed).random((n, k, s)) ** np.linspace(1, 2, k)[:, None]


def test_seeds_are_averaged_before_anything_is_ranked():
    scores = random_scores()
    ranking = study(scores)
    columns = [METHODS.index(method) for method in ranking.methods]
    counts = (scores[..., None] > np.linspace(0, 1, 101)).sum(-1)
    quantile = ((counts + 1) / 102).mean(axis=2)[:, columns]
    assert ranking.measured.quantile == pytest.approx(quantile, abs=1e-12)
    assert ranking.measured.normalised == pytest.approx(2 * scores.mean(axis=2)[:, columns], abs=1e-12)
    assert ranking.mean_rank == pytest.approx(stats.rankdata(quantile, axis=1).mean(axis=0))
    assert list(ranking.mean_rank) == sorted(ranking.mean_rank)
    assert ranking.friedman.n == len(ranking.instances) == 8
    assert ranking.random_trials == pytest.approx(1 / quantile.mean(axis=0) - 1)
    assert ranking.wins.sum() == 8
    chi2, p = stats.friedmanchisquare(*quantile.T)
    assert (ranking.friedman.chi_square, ranking.friedman.chi_square_p) == pytest.approx((chi2, p), abs=1e-9)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of autorank and its normality tests
def test_agrees_with_autorank_to_the_digits_it_keeps():
    pd = pytest.importorskip("pandas")
    # Far from normal, so that autorank takes its non-parametric way.
    ranking = study(np.random.default_rng(5).random((20, 5, 2)) ** 6, size=100_001)
    data = pd.DataFrame(ranking.measured.quantile, columns=ranking.methods)
    theirs = autorank(data, alpha=0.05, order="ascending", force_mode="nonparametric")
    assert theirs.omnibus == "friedman"
    assert theirs.pvalue == pytest.approx(ranking.friedman.chi_square_p, abs=1e-9)
    # Its critical difference is the published approximation; ours has the steps of rank sums.
    assert theirs.cd == pytest.approx(ranking.tested.nemenyi.critical_difference, abs=1.5 / 20)
    for method, rank in zip(ranking.methods, ranking.mean_rank, strict=True):
        assert theirs.rankdf.loc[method, "meanrank"] == pytest.approx(rank, abs=1e-9)


def test_the_control_is_compared_with_every_other_method():
    ranking = study(random_scores())
    assert ranking.versus_control.control == ranking.methods.index("random")
    for j, method in enumerate(ranking.methods):
        comparison = ranking.comparison(j)
        assert (comparison is None) == (method == "random")
        if comparison:
            gains = (
                ranking.measured.quantile[:, ranking.methods.index("random")]
                - ranking.measured.quantile[:, j]
            )
            assert comparison.p == pytest.approx(stats.wilcoxon(gains.round(12), zero_method="zsplit").pvalue)
            assert ranking.significant(j) == (comparison.p_corrected <= 0.05)


def test_means_of_the_same_values_in_another_order_tie_exactly():
    scores = np.empty((6, 3, 3))
    scores[:, 0] = [0.1, 0.2, 0.3]
    scores[:, 1] = [0.3, 0.1, 0.2]
    scores[:, 2] = [0.2, 0.1, 0.3]
    ranking = study(scores, size=1001)
    assert list(ranking.mean_rank) == [2, 2, 2]
    assert ranking.friedman.p == 1
    assert list(ranking.wins) == [6, 6, 6]


def test_ranks_come_from_quantiles_and_survive_a_monotone_transform_of_the_losses():
    scores = random_scores()
    space = np.linspace(0, 1, 101)
    bent = {
        key: SimpleNamespace(best=1.0, median=np.exp(5), worst=np.exp(10), sorted_losses=np.exp(10 * space))
        for key in references(8)
    }
    plain, other = study(scores), rank_methods(frame(np.exp(10 * scores)), bent)
    assert other.methods == plain.methods
    assert np.array_equal(other.measured.quantile, plain.measured.quantile)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_methods_instances_seeds_and_rows_does_not_matter(random, tied):
    scores = random_scores(5, 4, 3, seed=2)
    scores = scores.round(1) if tied else scores
    n, k, s = scores.shape
    rows, columns, seeds = (random.sample(range(size), size) for size in (n, k, s))
    plain = study(scores)
    methods = [METHODS[j] for j in columns]
    shuffled = frame(scores[rows][:, columns][..., seeds], methods).sample(
        fraction=1, shuffle=True, seed=random.randrange(1000)
    )
    other = rank_methods(shuffled, references(n))
    assert other.methods == plain.methods
    assert np.array_equal(other.mean_rank, plain.mean_rank)
    assert np.array_equal(other.measured.quantile, plain.measured.quantile[rows])
    assert other.friedman.p == plain.friedman.p
    assert other.tested.nemenyi.p == pytest.approx(plain.tested.nemenyi.p)
    assert [c.p_corrected for c in other.versus_control.comparisons] == pytest.approx(
        [c.p_corrected for c in plain.versus_control.comparisons]
    )


def test_only_common_seeds_count_and_more_seeds_are_shown_apart():
    scores = random_scores(6, 3, 10)
    runs = frame(scores, ("random", "tpe", "agent"))
    runs = runs.filter((pl.col("method") != "agent") | (pl.col("seed") < 2))
    ranking = rank_methods(runs, references(6))
    assert ranking.seeds == (0, 1)
    common = study(scores[..., :2], ("random", "tpe", "agent"))
    assert ranking.methods == common.methods
    assert np.array_equal(ranking.measured.quantile, common.measured.quantile)
    assert set(ranking.further.methods) == {"random", "tpe"}
    assert ranking.further.seeds == tuple(range(10))
    assert np.array_equal(
        ranking.further.measured.quantile, study(scores[:, :2], ("random", "tpe")).measured.quantile
    )
    assert ranking.further.further is None
    assert any(
        "random, tpe have more than what is common to all, 2 seeds (0-1). The rest" in note.text
        for note in ranking.notes
    )


def test_a_single_method_with_more_seeds_is_shown_without_tests():
    runs = frame(random_scores(4, 3, 5)).filter((pl.col("method") == "tpe") | (pl.col("seed") < 2))
    further = rank_methods(runs, references(4)).further
    assert further.methods == ("tpe",)
    assert further.versus_control is None
    assert any("1 method: not testable" in note.text for note in further.notes)


def test_more_seeds_with_nothing_in_common_give_no_second_ranking():
    runs = frame(random_scores(4, 3, 4)).filter(
        (pl.col("seed") < 2)
        | ((pl.col("method") == "tpe") & (pl.col("seed") == 2))
        | ((pl.col("method") == "cmaes") & (pl.col("seed") == 3))
    )
    ranking = rank_methods(runs, references(4))
    assert ranking.further is None
    assert any("none is common to them" in note.text for note in ranking.notes)


def test_missing_runs_are_an_error_with_a_list_and_a_remedy():
    runs = frame(random_scores(4, 3, 5)).filter(
        ~((pl.col("method") == "tpe") & (pl.col("benchmark") > "b01"))
    )
    with pytest.raises(ResultsError, match=r"10 of 60 runs .*tpe on b02 seed 0; .* and 5 more") as error:
        rank_methods(runs, references(4))
    assert "Run the suite again" in error.value.remedy


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_a_run_that_observed_nothing_is_missing(nothing):
    gone = (pl.col("method") == "tpe") & (pl.col("benchmark") == "b01") & (pl.col("seed") == 1)
    runs = frame(random_scores(3, 3, 2)).with_columns(
        score=pl.when(gone).then(pl.lit(nothing, pl.Float64)).otherwise("score")
    )
    with pytest.raises(ResultsError, match="1 of 18 runs are missing or observed nothing: tpe on b01 seed 1"):
        rank_methods(runs, references(3))


def test_no_common_seed_is_an_error():
    runs = frame(random_scores(3, 2, 4)).filter((pl.col("method") == "tpe") == (pl.col("seed") > 1))
    with pytest.raises(ResultsError, match="No seed is common to all methods: random has 0-1; tpe has 2-3"):
        rank_methods(runs, references(3))


def test_doubled_runs_are_an_error():
    runs = frame(random_scores(2, 2, 1))
    with pytest.raises(ResultsError, match="1 runs are there more than once: tpe on b01 seed 0"):
        rank_methods(pl.concat([runs, runs[-1:]]), references(2))


def test_wrong_usage_is_refused():
    runs = frame(random_scores())
    with pytest.raises(UnknownName, match="Did you mean 'random'"):
        rank_methods(runs, references(8), RankingSettings(control="randm"))
    with pytest.raises(UsageError, match="Unknown anchor 'mean'"):
        rank_methods(runs, references(8), RankingSettings(anchor="mean"))
    with pytest.raises(UsageError, match="0 < alpha < 1"):
        rank_methods(runs, references(8), RankingSettings(alpha=5))
    with pytest.raises(UsageError, match="Unknown correction 'fdr'"):
        rank_methods(runs, references(8), RankingSettings(correction="fdr"))
    with pytest.raises(UsageError, match="Unknown post hoc test 'tukey'"):
        rank_methods(runs, references(8), RankingSettings(posthoc="tukey"))
    with pytest.raises(ResultsError, match="needs two methods, but there is random"):
        rank_methods(runs.filter(pl.col("method") == "random"), references(8))
    with pytest.raises(ResultsError, match="none"):
        rank_methods(runs.clear(), {})


def test_the_anchor_worst_changes_normalised_regret_alone():
    scores = random_scores()
    median, worst = study(scores), study(scores, anchor="worst")
    assert worst.measured.normalised == pytest.approx(median.measured.normalised / 2)
    assert np.array_equal(worst.measured.quantile, median.measured.quantile)


def test_an_anchor_equal_to_the_best_is_an_error_with_a_remedy():
    flat = {key: SimpleNamespace(**{**vars(value), "median": 0.0}) for key, value in references(8).items()}
    with pytest.raises(DataError, match="best < anchor") as error:
        rank_methods(frame(random_scores()), flat)
    assert "worst" in error.value.remedy


def test_regret_is_unclipped_and_runs_beyond_the_best_are_counted():
    scores = random_scores()
    scores[0, 1, :2] = -0.5
    scores[1] = 0.9
    ranking = study(scores)
    assert ranking.measured.normalised.min() < 0
    assert ranking.measured.normalised.max() == pytest.approx(1.8)
    assert any("2 of 96 runs found less than the best" in note.text for note in ranking.notes)


@pytest.mark.parametrize(
    ("n", "expected"), [(4, "so no difference can be significant"), (8, "could reach is 0.0234")]
)
def test_the_notes_state_what_could_have_been_found(n, expected):
    notes = " ".join(map(str, study(random_scores(n)).notes))
    for part in (
        f"n = {n} instances",
        "3 seeds (0-2)",
        "Wilcoxon",
        "3 comparisons (Holm)",
        "rank-biserial",
        expected,
    ):
        assert part in notes


def test_one_instance_is_ranked_and_said_not_to_be_testable():
    ranking = study(random_scores(1))
    assert np.isnan(ranking.friedman.p)
    assert ranking.cliques == []
    assert any("1 instance: not testable" in note.text for note in ranking.notes)


@pytest.mark.parametrize("posthoc", ["nemenyi", "conover", "wilcoxon"])
def test_three_instances_that_agree_do_not_show_that_two_methods_differ(posthoc):
    scores = np.array([0.8, 0.1])[None, :, None] + np.zeros((3, 1, 2))
    ranking = study(scores, METHODS[:2], posthoc=posthoc)
    notes = " ".join(map(str, ranking.notes))
    assert "p = 0.25 (exact); the methods rank identically" in notes
    assert "p = 0;" not in notes
    assert "p = 0 (" not in notes
    assert ranking.versus_control.comparisons[0].p == ranking.friedman.p == 0.25
    assert ranking.cliques == [(0, 1)]
    if posthoc == "conover":
        assert "(no uncorrected p of these 3 instances can be less than 0.25). It presumes" in notes
        assert "Do not read it" in notes


def test_models_are_kept_for_the_methods_that_have_one():
    ranking = study(random_scores(), models={"agent": "SmolLM2 (135M)", "tpe": "", "absent": "x"})
    assert ranking.models == {"agent": "SmolLM2 (135M)"}


def test_ranks_and_tests_use_the_metric_that_was_asked_for():
    scores = random_scores()
    # One bad seed spoils a mean of regrets, and hardly a mean of logarithms.
    scores[:, 1] = np.array([1e-4, 1e-4, 0.9])
    area = pl.Series(np.linspace(1, 0, scores.size))
    runs = frame(scores).with_columns(area=area)
    by_metric = {
        metric: rank_methods(runs, references(8), RankingSettings(metric=metric)) for metric in METRICS
    }
    expected = {
        "normalised": (2 * scores).mean(axis=2),
        "log": np.log10(np.maximum(2 * scores, 1e-6)).mean(axis=2),
        "auc": area.to_numpy().reshape(scores.shape).mean(axis=2),
    }
    for metric, values in expected.items():
        ranking = by_metric[metric]
        columns = [METHODS.index(method) for method in ranking.methods]
        assert ranking.metric == metric
        assert ranking.values == pytest.approx(values[:, columns], abs=1e-11)
        assert ranking.mean_rank == pytest.approx(stats.rankdata(ranking.values, axis=1).mean(axis=0))
        assert ranking.friedman.chi_square_p == pytest.approx(
            stats.friedmanchisquare(*ranking.values.T).pvalue
        )
        assert ranking.measured.quantile == pytest.approx(
            by_metric["quantile"].measured.quantile[
                :, [by_metric["quantile"].methods.index(m) for m in ranking.methods]
            ]
        )
    assert by_metric["log"].methods[0] == METHODS[1] != by_metric["normalised"].methods[0]
    assert by_metric["quantile"].values is not None
    assert by_metric["quantile"].values == pytest.approx(by_metric["quantile"].measured.quantile, abs=1e-12)
    assert "decimal logarithm" in " ".join(map(str, by_metric["log"].notes))
    with pytest.raises(UnknownName, match="Did you mean 'quantile'"):
        rank_methods(runs, references(8), RankingSettings(metric="quantil"))


def test_a_run_that_found_the_best_has_no_infinite_logarithm():
    scores = random_scores()
    scores[:, 0] = 0
    ranking = study(scores, metric="log")
    assert ranking.extra["log_regret"].min() == -6


@pytest.mark.parametrize(
    ("correction", "name"), [("holm", "Holm"), ("hommel", "Hommel"), ("bh", "Benjamini-Hochberg")]
)
def test_the_correction_is_used_and_named(correction, name):
    ranking = study(random_scores(), correction=correction)
    control = ranking.methods.index("random")
    expected = wilcoxon(ranking.measured.quantile, control, correction, 12)
    assert ranking.versus_control == expected
    assert any(f"3 comparisons ({name})" in note.text for note in ranking.notes)


@pytest.mark.parametrize(
    ("posthoc", "note"),
    [
        ("nemenyi", "Nemenyi's test of all pairs: critical difference"),
        ("conover", "Conover's t of rank sums with 33 degrees of freedom, Holm over all 6 pairs"),
        ("wilcoxon", "Groups: Wilcoxon's signed-rank test, Holm over all 6 pairs"),
    ],
)
def test_groups_come_from_the_post_hoc_test_that_is_asked_for(posthoc, note):
    scores = random_scores(12) * np.array([1, 0.6, 0.5, 0.1])[:, None]
    ranking = study(scores, posthoc=posthoc)
    assert any(note in str(text) for text in ranking.notes)
    assert ranking.cliques == bars(ranking.mean_rank, ~(ranking.tested.pairs.p > 0.05))
    if posthoc == "conover":
        assert np.array_equal(ranking.tested.pairs.p, conover(ranking.measured.quantile).p)
    if posthoc == "wilcoxon":
        assert ranking.tested.pairs.p[0, 1] == wilcoxon(ranking.measured.quantile, None, "holm", 12).p[0, 1]


def test_the_interquartile_mean_and_the_probability_of_improvement_have_intervals():
    scores = random_scores(12)
    ranking = study(scores)
    columns = [METHODS.index(method) for method in ranking.methods]
    control = ranking.methods.index("random")
    found = intervals(ranking)
    for j, (iqm, improvement) in enumerate(zip(found.iqm, found.improvement, strict=True)):
        of_runs = 2 * scores[:, columns[j]]
        assert iqm.estimate == pytest.approx(stats.trim_mean(of_runs, 0.25, axis=None))
        assert iqm.low < iqm.estimate < iqm.high
        if j == control:
            assert improvement is None
            assert found.improvement_unpaired[j] is None
            continue
        expected = probability_of_improvement(scores[:, columns[j]], scores[:, columns[control]])
        assert improvement.estimate == pytest.approx(expected)
        assert improvement.low < expected < improvement.high
        unpaired = found.improvement_unpaired[j]
        expected = probability_of_improvement(scores[:, columns[j]], scores[:, columns[control]], "unpaired")
        assert unpaired.estimate == pytest.approx(expected)
        assert unpaired.low < expected < unpaired.high
    for expected in ("Paired: with the same seed", "Unpaired: any seed of one against any of the other"):
        assert expected in interval_note(ranking)
    assert "bootstrap-t at 95%" in interval_note(ranking)
    assert "they generalise to instances like these" in interval_note(ranking)


def test_intervals_do_not_depend_on_the_order_of_methods_instances_and_seeds():
    scores = random_scores(6, 3, 4)
    plain = study(scores)
    other = rank_methods(
        frame(scores[::-1, [2, 0, 1]][..., [1, 3, 0, 2]], [METHODS[j] for j in (2, 0, 1)]), references(6)
    )
    assert other.methods == plain.methods
    for ours, theirs in zip(intervals(other).iqm, intervals(plain).iqm, strict=True):
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    both = [
        (*intervals(ranking).improvement, *intervals(ranking).improvement_unpaired)
        for ranking in (other, plain)
    ]
    for ours, theirs in zip(*both, strict=True):
        assert (ours is None) == (theirs is None)
        if ours:
            assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_the_unpaired_improvement_is_the_same_whichever_seed_is_called_what():
    scores = random_scores(6, 2, 5)
    # As in a file of others: their seed 0 has no more to do with our seed 0 than with our seed 3.
    renamed = scores.copy()
    renamed[:, 1] = scores[:, 1, [3, 0, 4, 1, 2]]
    plain, other = (intervals(study(values)).improvement_unpaired for values in (scores, renamed))
    assert [i and i.estimate for i in other] == pytest.approx([i and i.estimate for i in plain])
    assert intervals(study(renamed)).improvement != intervals(study(scores)).improvement


def test_without_a_control_there_is_no_improvement_on_it():
    runs = frame(random_scores(4, 3, 5)).filter((pl.col("method") != "random") | (pl.col("seed") < 2))
    further = rank_methods(runs, references(4)).further
    assert further.versus_control is None
    assert intervals(further).improvement == intervals(further).improvement_unpaired == (None, None)
    assert "mprovement" not in interval_note(further)


def test_one_instance_has_no_intervals_and_says_so():
    ranking = study(random_scores(1))
    assert np.isnan(intervals(ranking).iqm[0].low)
    assert "Some: 1 instance: no interval, two are needed." in interval_note(ranking)


def test_instances_of_one_cluster_are_one_block():
    scores = random_scores(8)
    twice = np.concatenate([scores, scores])
    clusters = {f"b{i:02}": f"data set {i % 8}" for i in range(16)}
    plain, clustered = study(scores), study(twice, clusters=clusters)
    assert clustered.methods == plain.methods
    assert clustered.friedman.n == 8
    assert clustered.friedman.p == plain.friedman.p > study(twice).friedman.p
    assert clustered.versus_control.smallest_p == plain.versus_control.smallest_p
    assert [i.low for i in intervals(clustered).iqm] == pytest.approx([i.low for i in intervals(plain).iqm])
    assert [i and i.low for i in intervals(clustered).improvement] == pytest.approx(
        [i and i.low for i in intervals(plain).improvement]
    )
    assert [i and i.low for i in intervals(clustered).improvement_unpaired] == pytest.approx(
        [i and i.low for i in intervals(plain).improvement_unpaired]
    )
    assert len(clustered.ranks) == 16
    assert "n = 8 clusters of 16 instances, each averaged to one block" in clustered.notes[0].text
    assert "8 clusters of 16 instances" in interval_note(clustered)
    assert study(scores, clusters={"b00": "alone"}).notes == plain.notes
