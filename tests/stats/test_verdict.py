import numpy as np
import pytest
from scipy import stats

from surrobench.stats.verdict import evidence, verdicts

INF = float("inf")


def verdict(differences, region, alpha=0.05, **options):
    return verdicts([evidence(differences, region, alpha=alpha, **options)], alpha)[0][0]


@pytest.mark.parametrize("test", ["wilcoxon", "sign"])
def test_the_three_verdicts_of_a_claim_with_one_bound(test):
    clear = np.linspace(0.1, 0.4, 8)
    assert verdict(clear, (0, INF), test=test) == "holds"
    assert verdict(-clear, (0, INF), test=test) == "does not hold"
    assert verdict(clear - 0.25, (0, INF), test=test) == "not resolved"
    # Better, but not by as much as the claim says.
    assert verdict(clear, (0.5, INF), test=test) == "does not hold"
    # Worse, but by less than matters.
    assert verdict(-clear, (-0.5, INF), test=test) == "holds"


@pytest.mark.parametrize("test", ["wilcoxon", "sign"])
def test_the_three_verdicts_of_an_equivalence(test):
    around = np.linspace(-0.1, 0.1, 10)
    assert verdict(around, (-0.2, 0.2), test=test) == "holds"
    assert verdict(around + 0.5, (-0.2, 0.2), test=test) == "does not hold"
    assert verdict(around - 0.5, (-0.2, 0.2), test=test) == "does not hold"
    assert verdict(around + 0.2, (-0.2, 0.2), test=test) == "not resolved"


def test_no_difference_at_all_is_equal_and_never_better():
    assert verdict(np.zeros(9), (0, INF)) == "not resolved"
    assert verdict(np.zeros(9), (0, INF), test="sign") == "not resolved"
    assert verdict(np.zeros(9), (-0.01, 0.01)) == "holds"


def test_p_values_are_scipys_and_tost_takes_the_larger():
    x = np.random.default_rng(3).normal(0.2, 1, 12)

    def above(values):
        return stats.wilcoxon(values, zero_method="zsplit", alternative="greater").pvalue

    one = evidence(x, (0.1, INF))
    assert one.p_holds == pytest.approx(above(x - 0.1))
    assert one.p_fails == pytest.approx(above(0.1 - x))
    two = evidence(x, (-1, 1))
    assert two.p_holds == pytest.approx(max(above(x + 1), above(1 - x)))
    assert two.p_fails == pytest.approx(min(1, 2 * min(above(-1 - x), above(x - 1))))
    sign = evidence(x, (0, INF), test="sign")
    assert sign.p_holds == stats.binomtest(int((x > 0).sum()), 12, alternative="greater").pvalue


@pytest.mark.parametrize("test", ["wilcoxon", "sign"])
def test_a_bound_beyond_the_interval_is_one_that_the_test_rejects(test):
    x = np.random.default_rng(8).normal(0, 1, 15)
    found = evidence(x, (0, INF), test=test)
    assert found.level == pytest.approx(0.9)
    assert found.low < found.estimate < found.high
    for bound, inside in ((found.low - 1e-9, False), (found.low + 1e-9, True)):
        assert (evidence(x, (bound, INF), test=test).p_holds > 0.05) == inside
    for bound, inside in ((found.high + 1e-9, False), (found.high - 1e-9, True)):
        assert (evidence(x, (bound, INF), test=test).p_fails > 0.05) == inside


def test_too_few_instances_have_no_interval_and_resolve_nothing():
    found = evidence([0.3, 0.4, 0.5], (0, INF))
    assert (found.low, found.high) == (-INF, INF)
    assert found.smallest_p == found.p_holds == 0.125
    assert verdict([0.3, 0.4, 0.5], (0, INF)) == "not resolved"


def test_both_kinds_of_p_are_corrected_over_all_claims():
    clear = np.linspace(0.1, 0.4, 6)  # p = 1/64 = 0.0156
    one, two = evidence(clear, (0, INF)), evidence(-clear, (0, INF))
    assert [found[0] for found in verdicts([one, two])] == ["holds", "does not hold"]
    assert [found[1:] for found in verdicts([one, two])] == [(2 / 64, 1), (1, 2 / 64)]
    assert {found[0] for found in verdicts([one] * 4)} == {"not resolved"}
    assert verdicts([one], of=4) == [("not resolved", 4 / 64, 1)]  # those without evidence count, too


def test_a_high_level_does_not_make_both_verdicts_true():
    assert verdict([0.1, 0.2, -0.05], (0, INF), alpha=0.9) == "holds"


def test_of_equal_methods_each_verdict_is_as_rare_as_the_level_says():
    rng = np.random.default_rng(0)
    found = [verdict(rng.standard_normal(10), (0, INF)) for _ in range(400)]
    for kind in ("holds", "does not hold"):
        assert found.count(kind) / len(found) < 0.05 + 3 * 0.011
    at_the_margin = [verdict(rng.normal(1, 1, 10), (-1, 1)) for _ in range(400)]
    for kind in ("holds", "does not hold"):
        assert at_the_margin.count(kind) / len(found) < 0.05 + 3 * 0.011


def test_differences_that_are_equal_but_for_rounding_tie():
    x = np.array([0.3 - 0.2, 0.2 - 0.1, 0.1] * 3)
    assert evidence(x, (0.1, INF), decimals=12).p_holds == 1


def test_what_is_no_claim_is_refused():
    with pytest.raises(ValueError, match="without NaN"):
        evidence([np.nan], (0, INF))
    with pytest.raises(ValueError, match="without NaN"):
        evidence([], (0, INF))
    for region in ((-INF, INF), (1, 1), (2, 1)):
        with pytest.raises(ValueError, match="a region needs a bound"):
            evidence([1.0], region)
