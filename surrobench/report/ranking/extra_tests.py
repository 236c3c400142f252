"""Run further tests of a ranking's methods against its control, on request. No I/O.

The further tests are shown together with the ranking's own test, Wilcoxon's, and do not replace it. Of
several tests of the same data, the test to be reported is chosen before looking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from surrobench.arrays import Floats
from surrobench.errors import UnknownName, UsageError
from surrobench.report.ranking.model import (
    DECIMALS,
    EXTRA_TESTS,
    MEASURES,
    ExtraTest,
    ExtraTestName,
    Finding,
    Number,
    Ranking,
)
from surrobench.report.render.table import small
from surrobench.stats.bayes import LEAST, PRIOR, Posterior, hierarchical, signed_rank, unsaid
from surrobench.stats.clusters import average_within
from surrobench.stats.correction import NAMES, correct
from surrobench.stats.mixed import mixed_model
from surrobench.stats.permutation import SignFlip, sign_flip
from surrobench.stats.signed_rank import pseudomedian

ROPE = 0.01
"""The half width of the region of practical equivalence. For quantile regret, it is a hundredth of the search
space. For normalised regret, it is a hundredth of the way from the anchor to the best.
"""

NAN = float("nan")


def _signed(value: float) -> str:
    return f"{value:+.2g}"


_DIFFERENCE = Number("difference", "difference", _signed)
_P = Number("p", "p", small)


def with_extra_tests(
    ranking: Ranking,
    tests: Sequence[ExtraTestName],
    rope: float = ROPE,
    progress: Callable[[Sequence[int]], Iterator[int]] = iter,
) -> Ranking:
    """Return the ranking with further tests against its control; each test is a table of its own.

    Args:
        ranking: the ranking of the study. A further ranking, of methods with more seeds or trials, gets the
            tests, too.
        tests: the tests to run, in this order.
        rope: half the width of the region of practical equivalence, in units of the metric, for the Bayesian
            tests; 0 for no region.
        progress: an iterator over the numbers of methods, for tests in which each method takes seconds.

    Raises:
        UnknownName: there is no such test.
        UsageError: ``rope`` is negative.
    """
    for test in tests:
        if test not in EXTRA_TESTS:
            raise UnknownName("test", test, EXTRA_TESTS)
    if not rope >= 0:
        raise UsageError(f"0 <= rope must hold, but got {rope}.", "0 is for none.")
    further = ranking.further and with_extra_tests(ranking.further, tests, rope, progress)
    if ranking.versus_control is None:
        return replace(ranking, further=further)
    data = _data(ranking, rope, progress)
    made = tuple(_TESTS[test](ranking, data) for test in dict.fromkeys(tests))
    return replace(ranking, extra_tests=made, further=further)


@dataclass(frozen=True)
class _Data:
    """The data of the tests: n blocks, k methods, s seeds.

    Attributes:
        control: the column of the control.
        runs: shape (n, k, s), the metric.
        blocks: shape (n, k), the means of ``runs`` over seeds, on which the ranking's own test is based.
        rope, progress: see ``with_extra_tests``.
    """

    control: int
    runs: Floats
    blocks: Floats
    rope: float
    progress: Callable[[Sequence[int]], Iterator[int]]

    @property
    def others(self) -> list[int]:
        """Return the columns of all methods except the control."""
        return [method for method in range(self.blocks.shape[1]) if method != self.control]

    def gains(self, method: int) -> Floats:
        """Return the gains of a method over the control, shape (n,): positive where the method is better."""
        return np.asarray((self.blocks[:, self.control] - self.blocks[:, method]).round(DECIMALS))

    def gains_by_seed(self, method: int) -> Floats:
        """Return the gains of a method with the same seed, hence from the same start, shape (n, s)."""
        return np.asarray(self.runs[:, self.control] - self.runs[:, method])


def _data(ranking: Ranking, rope: float, progress: Callable[[Sequence[int]], Iterator[int]]) -> _Data:
    runs = average_within(ranking.by_run[MEASURES[ranking.metric]], ranking.clusters)[0]
    return _Data(ranking.methods.index(ranking.control), runs, runs.mean(axis=2), rope, progress)


def _n(ranking: Ranking) -> str:
    n = ranking.friedman.n
    return f"n = {n} {'instances' if n == len(ranking.clusters) else 'blocks'}"


def _measure(ranking: Ranking) -> str:
    return MEASURES[ranking.metric].replace("_", " ")


# ---------------------------------------------------------------------- Bayes


def _bayes(ranking: Ranking, data: _Data) -> ExtraTest:
    n = len(data.blocks)
    found = {
        method: unsaid(data.rope, n)
        if n < LEAST
        else signed_rank(data.gains(method), data.rope, np.random.default_rng(0))
        for method in data.others
    }
    prior = f"a Dirichlet process with a pseudo-block without difference of weight {PRIOR:g}"
    effect = {method: float(pseudomedian(data.gains(method))) for method in found}
    how = f"on the means of {len(ranking.seeds)} seeds. Difference: pseudomedian"
    return _of_posteriors(
        "bayes", "Bayesian signed-rank test", ranking, found, effect, prior=prior, rope=data.rope, how=how
    )


def _hierarchical(ranking: Ranking, data: _Data) -> ExtraTest:
    n = len(data.blocks)
    found = {
        method: unsaid(data.rope, n)
        if n < LEAST
        else hierarchical(data.gains_by_seed(method), data.rope, np.random.default_rng(0))
        for method in data.progress(data.others)
    }
    prior = "that of Corani et al. (2017), with bounds from the data"
    effect = {method: float(data.gains_by_seed(method).mean()) for method in found}
    how = f"on {len(ranking.seeds)} paired seeds each, independent of each other (rho = 0). Difference: mean"
    return _of_posteriors(
        "hierarchical",
        "Bayesian hierarchical test",
        ranking,
        found,
        effect,
        prior=prior,
        rope=data.rope,
        how=how,
    )


def _of_posteriors(
    test: ExtraTestName,
    name: str,
    ranking: Ranking,
    found: dict[int, Posterior],
    effect: dict[int, float],
    *,
    prior: str,
    rope: float,
    how: str,
) -> ExtraTest:
    numbers = [
        _DIFFERENCE,
        Number("better", "P(better)", small),
        Number("same", "P(same)", small),
        Number("worse", "P(worse)", small),
        Number("share", "share better", "{:.0%}".format),
    ]
    rows = {
        method: [effect[method], one.better, one.rope, one.worse, float(one.share[2])]
        for method, one in found.items()
    }
    if rope == 0:
        numbers.pop(2)
        rows = {method: [*row[:2], *row[3:]] for method, row in rows.items()}
    level = 1 - ranking.alpha
    names = ranking.methods
    samples = max(one.samples for one in found.values())
    doubts = dict.fromkeys(one.note for one in found.values() if one.note)
    what = "two (better, worse)" if rope == 0 else "three (better, practically the same, worse)"
    within = "no region of practical equivalence" if rope == 0 else (
        f"the same: a difference in {_measure(ranking)} within ±{rope:g}, fixed beforehand"
    )  # fmt: skip
    note = (
        f"{name}: {_n(ranking)}, {how} in {_measure(ranking)}, positive where better. Prior: {prior}; "
        f"{within}. P: the probability that this is the likeliest of the {what} on a new block, set off from "
        f"{level:.0%} on. Share: posterior mean of the probability of better. {samples:,} samples. No "
        "correction: these are no p-values, and each method is judged by itself. Without a rope, the "
        "prior calls one of two equal methods better far more often than a test at the same level would."
    ) + "".join(f" Nothing is said where: {doubt}." for doubt in doubts)
    return ExtraTest(
        test=test,
        title=f"{name} against {ranking.control}",
        numbers=tuple(numbers),
        values={names[method]: row for method, row in rows.items()},
        findings={names[method]: _likeliest(one, level) for method, one in found.items()},
        facts={
            "control": ranking.control,
            "metric": ranking.metric,
            "n": ranking.friedman.n,
            "prior": prior,
            "rope": rope,
            "samples": samples,
            "correction": None,
        },
        note=note,
    )


def _likeliest(posterior: Posterior, level: float) -> Finding:
    of: dict[Finding, float] = {
        "better": posterior.better, "worse": posterior.worse, "same": posterior.rope,
    }  # fmt: skip
    return next((finding for finding, p in of.items() if p >= level), "")


# ---------------------------------------------------------------------- mixed-effects model


def _mixed(ranking: Ranking, data: _Data) -> ExtraTest:
    correction = ranking.settings.correction
    level = 1 - ranking.alpha
    model = mixed_model(data.runs, data.control, level, correction)
    of = {contrast.method: contrast for contrast in model.contrasts}
    names = ranking.methods
    values = {
        names[method]: [c.difference, c.low, c.high, c.t, c.p, c.p_corrected]
        if (c := of.get(method)) else [NAN] * 6
        for method in data.others
    }  # fmt: skip
    seeds = "1 seed" if model.s == 1 else f"{model.s} paired seeds"
    components = {
        "block": model.var_instance,
        "method x block": model.var_interaction,
        "seed": model.var_seed,
        "residual": model.var_residual,
    }
    spread = ", ".join(f"{key} {value:.2g}" for key, value in components.items() if not np.isnan(value))
    dof = ", ".join(f"{model.epsilon * one:.3g}" for one in model.dof)
    test = f"F({dof}) = {model.f:.4g}, p = {model.p:.3g} (Greenhouse-Geisser); " if model.k > 1 else ""
    note = (
        f"Linear mixed-effects model of {_measure(ranking)}: methods fixed, blocks and their interaction "
        f"random, {_n(ranking)} x {seeds}. Each method may vary as it does; means of blocks are taken as "
        "normal, which skewed ones of few blocks are not. "
        f"{test if of else ''}variances: {spread or 'none'}. Difference of means, positive where better, "
        f"with a {level:.0%} interval, each by itself; t with {model.n - 1} degrees of freedom; "
        f"{_corrected(ranking)}." + (f" {model.note[0].upper()}{model.note[1:]}." if model.note else "")
    )
    return ExtraTest(
        test="mixed",
        title=f"Mixed-effects model against {ranking.control}",
        numbers=(
            _DIFFERENCE,
            Number("low", "low", _signed),
            Number("high", "high", _signed),
            Number("t", "t", "{:.2f}".format),
            _P,
            Number("p_corrected", f"p ({NAMES[correction]})", small),
        ),
        values=values,
        findings={
            names[method]: _significant(of[method].p_corrected, of[method].difference, ranking.alpha)
            if method in of else ""
            for method in data.others
        },
        facts={
            "control": ranking.control,
            "metric": ranking.metric,
            "n": model.n,
            "seeds": model.s,
            "f": model.f,
            "dof": list(model.dof),
            "epsilon": model.epsilon,
            "p": model.p,
            "correction": correction,
            "comparisons": len(of),
            "level": level,
            "standard_errors": {names[method]: c.standard_error for method, c in of.items()},
            "variances": components,
        },
        note=note,
    )  # fmt: skip


# ---------------------------------------------------------------------- sign-flip


def _sign_flip(ranking: Ranking, data: _Data) -> ExtraTest:
    found: dict[int, SignFlip] = {
        method: sign_flip(data.gains(method), np.random.default_rng(0)) for method in data.others
    }
    correction = ranking.settings.correction
    p_corrected = correct([one.p for one in found.values()], correction)
    one = next(iter(found.values()))
    smallest = float(correct([one.smallest_p] * len(found), correction).min())
    names = ranking.methods
    signs = f"all {one.flips:,} assignments of signs" if one.exact else f"{one.flips:,} random signs"
    note = (
        f"Sign-flip permutation test of the mean difference in {_measure(ranking)}, positive where better: "
        f"{_n(ranking)}, each the mean of {len(ranking.seeds)} seeds; {signs}, two-sided; "
        f"{_corrected(ranking)}. Smallest corrected p it could reach: {smallest:.3g}"
        + ("." if smallest <= ranking.alpha else ", so none can be significant.")
    )
    return ExtraTest(
        test="sign-flip",
        title=f"Sign-flip test against {ranking.control}",
        numbers=(_DIFFERENCE, _P, Number("p_corrected", f"p ({NAMES[correction]})", small)),
        values={
            names[method]: [one.mean, one.p, float(p)]
            for (method, one), p in zip(found.items(), p_corrected, strict=True)
        },
        findings={
            names[method]: _significant(float(p), one.mean, ranking.alpha)
            for (method, one), p in zip(found.items(), p_corrected, strict=True)
        },
        facts={
            "control": ranking.control,
            "metric": ranking.metric,
            "n": one.n,
            "flips": one.flips,
            "exact": one.exact,
            "correction": correction,
            "comparisons": len(found),
            "smallest_reachable_p": smallest,
        },
        note=note,
    )


def _corrected(ranking: Ranking) -> str:
    m = len(ranking.methods) - 1
    return (
        f"{NAMES[ranking.settings.correction]} over {m} comparison{'s' if m > 1 else ''}, set off where "
        f"p <= {ranking.alpha:g}"
    )


def _significant(p: float, difference: float, alpha: float) -> Finding:
    if not p <= alpha or difference == 0:
        return ""
    return "better" if difference > 0 else "worse"


_TESTS: dict[ExtraTestName, Callable[[Ranking, _Data], ExtraTest]] = {
    "bayes": _bayes,
    "hierarchical": _hierarchical,
    "mixed": _mixed,
    "sign-flip": _sign_flip,
}
