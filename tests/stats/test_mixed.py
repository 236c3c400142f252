import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.anova import AnovaRM
from statsmodels.stats.multitest import multipletests

from surrobench.stats.mixed import mixed_model


def study(n=12, k=4, s=5, seed=0, interaction=0.7, of_seed=0.0):
    rng = np.random.default_rng(seed)
    return (
        np.linspace(0, 0.5, k)[:, None]
        + rng.normal(size=(n, 1, 1))
        + interaction * rng.normal(size=(n, k, 1))
        + of_seed * rng.normal(size=(n, 1, s))
        + 0.5 * rng.normal(size=(n, k, s))
    )


def frame(losses):
    return pd.DataFrame(
        [(i, j, f"{i}.{r}", float(loss)) for (i, j, r), loss in np.ndenumerate(losses)],
        columns=["instance", "method", "seed", "loss"],
    )


@pytest.mark.parametrize(("n", "k", "s"), [(3, 2, 1), (12, 4, 5), (6, 5, 2), (20, 3, 1)])
@pytest.mark.parametrize("shape", ["normal", "skewed", "tied"])
def test_f_agrees_with_statsmodels_on_seed_means(n, k, s, shape):
    losses = study(n, k, s)
    losses = {"normal": losses, "skewed": np.exp(losses), "tied": losses.round()}[shape]
    found = mixed_model(losses)
    table = AnovaRM(frame(losses), "loss", "instance", ["method"], aggregate_func="mean").fit().anova_table
    assert found.f == pytest.approx(table["F Value"].iloc[0], rel=1e-9)
    assert found.dof == (table["Num DF"].iloc[0], table["Den DF"].iloc[0])
    # Greenhouse and Geisser's epsilon, from the eigenvalues of the covariance of orthonormal contrasts.
    contrasts = np.linalg.svd(np.eye(k) - 1 / k)[0][:, : k - 1]
    values = np.linalg.eigvalsh(contrasts.T @ np.cov(losses.mean(axis=2), rowvar=False) @ contrasts)
    assert found.epsilon == pytest.approx(values.sum() ** 2 / ((k - 1) * np.square(values).sum()), rel=1e-6)
    reduced = (found.epsilon * dof for dof in found.dof)
    assert found.p == pytest.approx(stats.f.sf(found.f, *reduced), rel=1e-6, abs=1e-12)
    assert found.p >= table["Pr > F"].iloc[0] - 1e-9 or found.f < 1


def reml(losses, **components):
    data = frame(losses)
    model = MixedLM.from_formula("loss ~ C(method)", data, groups="instance", re_formula="1",
                                 vc_formula=components)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit(reml=True, method=["lbfgs", "bfgs"], gtol=1e-10, maxiter=2000)
    return fit, dict(zip(sorted(components), fit.vcomp, strict=True))


@pytest.mark.parametrize(("options", "paired"), [({"seed": 3}, False), ({"seed": 5, "of_seed": 0.6}, True)])
def test_variance_components_are_those_of_reml(options, paired):
    losses = study(n=10, k=3, s=4, **options)
    formulas = {"interaction": "0 + C(method)"} | ({"seed": "0 + C(seed)"} if paired else {})
    fit, of = reml(losses, **formulas)
    found = mixed_model(losses, 0, paired_seeds=paired)
    # As near as its optimizer comes to the maximum; the next test says that ours is there.
    assert found.var_instance == pytest.approx(float(fit.cov_re.iloc[0, 0]), rel=1e-3)
    assert found.var_interaction == pytest.approx(of["interaction"], rel=1e-3)
    assert found.var_residual == pytest.approx(fit.scale, rel=1e-3)
    assert found.var_seed == pytest.approx(of.get("seed", math.nan), rel=1e-3, nan_ok=True)
    assert [-c.difference for c in found.contrasts] == pytest.approx(list(fit.fe_params[1:]), abs=1e-6)
    other = mixed_model(losses, 0, paired_seeds=not paired)
    assert (other.f, other.contrasts) == (found.f, found.contrasts)


@pytest.mark.parametrize(("options", "paired"), [({"seed": 3}, False), ({"seed": 5, "of_seed": 0.6}, True)])
def test_the_restricted_likelihood_is_largest_at_the_variance_components(options, paired):
    n, k, s = 6, 3, 4
    losses = study(n=n, k=k, s=s, **options)
    found = mixed_model(losses, paired_seeds=paired)
    one = [np.eye(size) for size in (n, k, s)]
    all_of = [np.ones((size, size)) for size in (n, k, s)]
    parts = [np.kron(np.kron(one[0], b), c) for b, c in [
        (all_of[1], all_of[2]), (one[1], all_of[2]), (one[1], one[2]), (all_of[1], one[2])
    ]]  # fmt: skip
    ours = [found.var_instance, found.var_interaction, found.var_residual] + [found.var_seed] * paired
    X, y = np.kron(np.kron(np.ones((n, 1)), one[1]), np.ones((s, 1))), losses.ravel()

    def likelihood(components):
        V = sum(value * part for value, part in zip(components, parts, strict=False))
        inverse = np.linalg.inv(V)
        information = X.T @ inverse @ X
        left = y - X @ np.linalg.solve(information, X.T @ inverse @ y)
        return -(np.linalg.slogdet(V)[1] + np.linalg.slogdet(information)[1] + left @ inverse @ left) / 2

    for index, value in enumerate(ours):
        step = np.eye(len(ours))[index] * value * 1e-4
        slope = (likelihood(ours + step) - likelihood(ours - step)) / 2e-4
        assert slope == pytest.approx(0, abs=1e-6)
        assert likelihood(ours + 100 * step) < likelihood(ours) > likelihood(ours - 100 * step)


def test_variance_components_are_unbiased():
    found = [mixed_model(study(seed=seed, of_seed=0.6)) for seed in range(400)]
    for name, value in [("instance", 1), ("interaction", 0.49), ("seed", 0.36), ("residual", 0.25)]:
        of = [getattr(model, f"var_{name}") for model in found]
        assert np.mean(of) == pytest.approx(value, abs=4 * np.std(of) / 20)


def test_a_contrast_is_the_paired_t_test_on_seed_means_whatever_other_methods_do():
    losses = study(k=4)
    losses[:, 2:] *= 30  # the pooled interaction would be that of these two
    contrast, *_ = mixed_model(losses, 0).contrasts
    means = losses.mean(axis=2)
    theirs = stats.ttest_rel(means[:, 0], means[:, 1])
    assert (contrast.t, contrast.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)
    interval = theirs.confidence_interval(0.95)
    assert (contrast.low, contrast.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert mixed_model(losses[:, :2]).p == pytest.approx(theirs.pvalue, rel=1e-9)


@pytest.mark.parametrize(("correction", "name"), [("holm", "holm"), ("hommel", "hommel"), ("bh", "fdr_bh")])
def test_contrasts_are_corrected(correction, name):
    found = mixed_model(study(k=6), 2, correction=correction).contrasts
    assert [c.method for c in found] == [0, 1, 3, 4, 5]
    expected = multipletests([c.p for c in found], method=name)[1]
    assert [c.p_corrected for c in found] == pytest.approx(expected, abs=1e-12)


def test_more_seeds_do_not_make_up_for_few_instances():
    few, many = (mixed_model(study(n=4, s=s, seed=2), 0) for s in (5, 500))
    assert few.dof == many.dof == (3, 9)
    # The interaction's share stays, however many seeds there are.
    errors = [c.standard_error for c in mixed_model(study(n=4, s=5000, seed=2), 0).contrasts]
    assert np.median(errors) > 0.1
    assert np.median([c.standard_error for c in many.contrasts]) == pytest.approx(np.median(errors), rel=0.3)


def test_tiny_studies_say_what_is_not_testable():
    one = mixed_model(study(n=1), 0)
    assert "1 instance: not testable" in one.note
    assert math.isnan(one.p)
    assert one.contrasts == ()
    assert "1 method: not testable" in mixed_model(study(k=1), 0).note
    single = mixed_model(study(n=2, k=2, s=1), 0)
    assert math.isnan(single.var_residual)
    assert 0 < single.p <= 1


def test_equal_methods_and_constant_differences():
    losses = np.repeat(study(k=1), 3, axis=1)
    same = mixed_model(losses, 0)
    assert (same.f, same.p) == (0, 1)
    assert [c.p for c in same.contrasts] == [1, 1]
    shifted = mixed_model(losses + np.array([0.0, 0.1, 0.2])[:, None], 0)
    assert (shifted.f, shifted.p) == (math.inf, 0)
    assert "no variation to test against" in shifted.note


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.randoms(use_true_random=False))
def test_the_order_of_methods_instances_and_seeds_does_not_matter(seed, random):
    losses = study(4, 3, 3, seed)
    rows, columns, seeds = random.sample(range(4), 4), random.sample(range(3), 3), random.sample(range(3), 3)
    plain = mixed_model(losses, 0)
    other = mixed_model(losses[rows][:, columns][..., seeds], columns.index(0))
    assert (other.f, other.p, other.var_instance, other.var_interaction, other.var_seed) == pytest.approx(
        (plain.f, plain.p, plain.var_instance, plain.var_interaction, plain.var_seed)
    )
    of = {c.method: c for c in plain.contrasts}
    for c in other.contrasts:
        same = of[columns[c.method]]
        assert (c.low, c.high, c.p_corrected) == pytest.approx((same.low, same.high, same.p_corrected))


@pytest.mark.parametrize(
    ("losses", "options"),
    [(np.ones((2, 2)), {}), (np.full((2, 2, 2), np.nan), {}), (np.ones((2, 2, 2)), {"control": 2}),
     (np.ones((2, 2, 2)), {"level": 95})],
)  # fmt: skip
def test_wrong_arguments_are_refused(losses, options):
    with pytest.raises(ValueError, match="must"):
        mixed_model(losses, **options)
