"""Judge a suite's claims on its results: each holds, does not hold, or is not resolved, with the evidence.

Claims are judged as the suite states them, regardless of the limits of a ranking. They use the seeds common
to all methods of the claim, after as many trials as the claim says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ValidationError

from surrobench.errors import ResultsError
from surrobench.llm.prompt_variants import VARIANTS
from surrobench.optimizers.llm.control import PREFIX
from surrobench.protocol.budget import Budget
from surrobench.report.data.load import joint_plan
from surrobench.report.data.seed_array import SeedArray, cells
from surrobench.report.data.study_data import StudyData, load_study
from surrobench.results.folder import Results
from surrobench.stats.power import smallest_detectable
from surrobench.stats.verdict import Evidence, Verdict, evidence, verdicts
from surrobench.suite.claims import Claim, Pair

DECIMALS = 12
"""The decimals to which regrets, whose scale is known, are rounded; smaller differences are float errors."""
POWER = 0.8
"""The power with which the smallest detectable advantage would have been found."""


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict.

    Attributes:
        name: the key of the claim in the suite.
        claim: the claim as stated.
        verdict: the verdict, see ``stats.verdict``.
        evidence: the evidence that the verdict is based on.
        p_holds, p_fails: one-sided p-values, corrected by Holm over the suite's claims.
        claims: the number of the suite's claims.
        seeds: the number of seeds that are common to the claim's methods.
        trials: the number of trials after which the methods are compared; None where the budget has another
            unit.
        instances, advantages: the instances of the claim, and the advantage on each, mean over seeds. Where
            the claim is about a gap, the value is the claimed bound of the gap minus the gap.
        detectable: for a claim that is not resolved, the distance from the bound at which a centre would be
            found there with 80% power by the Wilcoxon test; infinite where it never is. It is None for other
            claims.
    """

    name: str
    claim: Claim
    verdict: Verdict
    evidence: Evidence
    p_holds: float
    p_fails: float
    claims: int
    seeds: int
    trials: int | None
    instances: tuple[str, ...]
    advantages: NDArray[np.float64]
    detectable: float | None

    @property
    def p(self) -> float:
        """Return the corrected p of what the verdict says; where it is not resolved, the p for "holds"."""
        return self.p_fails if self.verdict == "does not hold" else self.p_holds

    def document(self) -> dict[str, Any]:
        """Return all that is needed to check the verdict, as a JSON value."""
        found = asdict(self.evidence)
        return {
            "name": self.name,
            **self.claim.model_dump(mode="json", exclude_none=True),
            "verdict": self.verdict,
            "seeds": self.seeds,
            "trials": self.trials,
            **found,
            "claims": self.claims,
            "p_holds_corrected": self.p_holds,
            "p_fails_corrected": self.p_fails,
            "detectable": self.detectable,
            "advantages": dict(zip(self.instances, self.advantages.tolist(), strict=True)),
        }


def stated_claims(results: Results) -> dict[str, Claim]:
    """Return the claims of the suite as it was run; results of older versions have no claims.

    Raises:
        ResultsError: the manifest is damaged.
    """
    try:
        stated: Mapping[str, Any] = results.manifest["suite"].get("claims", {})
        return {name: Claim.model_validate(claim) for name, claim in stated.items()}
    except (ValidationError, AttributeError) as error:
        raise ResultsError(
            f"The claims in {results.folder / 'manifest.json'} are damaged.",
            "Repeat the run command, which writes them.",
        ) from error


def judge(
    results: Sequence[Results],
    alpha: float = 0.05,
    *,
    plan: pl.DataFrame | None = None,
) -> tuple[Judged, ...]:
    """Judge the claims of a study's suite, except claims about a method that is not in the results.

    Args:
        results: the folder, or several folders that hold a study; the claims are those of the first.
        alpha: the family-wise level over the claims, for either kind of mistake.
        plan: the ``joint_plan`` of the results, if it is known.

    Raises:
        ResultsError, DataError: see ``load_study`` and ``cells``.
    """
    stated = stated_claims(results[0])
    plan = joint_plan(results) if plan is None else plan
    known = plan["method"].unique().to_list()
    claims = {
        name: claim
        for name, claim in stated.items()
        if all(_of_label(label, known) for labels in claim.methods.values() for label in labels)
    }
    studies = {
        after: load_study(results, Budget(trials=after))
        for after in {claim.after for claim in claims.values()}
    }
    return judge_claims(claims, studies, alpha, stated=len(stated))


def judge_claims(
    claims: Mapping[str, Claim],
    studies: Mapping[int | None, StudyData],
    alpha: float = 0.05,
    *,
    stated: int | None = None,
) -> tuple[Judged, ...]:
    """Judge claims on the results of runs.

    Args:
        claims: name -> claim.
        studies: number of trials -> the study after that many trials, for each ``after`` of the claims.
        alpha: the family-wise level.
        stated: the number of claims of the suite, over which p is corrected; by default the number of the
            given claims. A part of the suite's methods must not make a claim easier to resolve.
    """
    m = stated or len(claims)
    found = []
    for claim in claims.values():
        study = studies[claim.after]
        known = sorted(study.incumbents["method"].unique())
        needed = {method for labels in claim.methods.values() for method in _expanded(labels, known)}
        part = cells(study, claim.metric, sorted(needed))
        advantages = _advantages(claim, part, known)
        found.append(
            (
                part,
                advantages,
                evidence(advantages, claim.region, test=claim.test, alpha=alpha, decimals=DECIMALS),
            )
        )
    judged = verdicts([one for _, _, one in found], alpha, of=m)
    return tuple(
        Judged(
            name=name,
            claim=claim,
            verdict=verdict,
            evidence=one,
            p_holds=p_holds,
            p_fails=p_fails,
            claims=m,
            seeds=len(part.seeds),
            trials=part.trials,
            instances=part.instances,
            advantages=advantages,
            detectable=smallest_detectable(
                advantages, alpha / m, POWER, np.random.default_rng(0), one_sided=True
            )
            if verdict == "not resolved" and claim.test == "wilcoxon"
            else None,
        )
        for (name, claim), (part, advantages, one), (verdict, p_holds, p_fails) in zip(
            claims.items(), found, judged, strict=True
        )
    )


def _advantages(claim: Claim, part: SeedArray, known: Sequence[str]) -> NDArray[np.float64]:
    """Return the advantage, mean over seeds, shape (n,); for two pairs, the first's minus the second's."""
    means = part.regret.mean(axis=2)

    def regret(labels: Sequence[str]) -> NDArray[np.float64]:
        columns = [part.methods.index(method) for method in _expanded(labels, known)]
        return np.asarray(means[:, columns].mean(axis=1))

    def advantage(pair: Pair) -> NDArray[np.float64]:
        return regret(pair.than) - regret(pair.better)

    first, *others = map(advantage, claim.pairs)
    return first - sum(others) if others else first


def _expanded(labels: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the methods that labels stand for, in the order of ``known``."""
    meant = {method for label in labels for method in _of_label(label, known)}
    return [method for method in known if method in meant]


def _of_label(label: str, known: Sequence[str]) -> list[str]:
    """Return the methods that a label stands for.

    A label is the name of one method. A label without its model stands for all of the method's language
    models that are shown everything (see ``method_name``). A slot control in a model's place, and a model
    that something is hidden from, are different methods. They count only where there are no other methods.
    """
    if label in known:
        return [label]
    mine = [method for method in known if method.startswith(f"{label} (")]
    hidden = tuple(f", {variant})" for variant in VARIANTS)
    models = [m for m in mine if not m.startswith(f"{label} ({PREFIX}") and not m.endswith(hidden)]
    return models or mine


# ---------------------------------------------------------------------- in words

HEADINGS = ("claim", "verdict", "n", "advantage", "interval", "p (Holm)")


def row(judged: Judged) -> list[str]:
    """Return the row of a claim below ``HEADINGS``, as people read it."""
    found = judged.evidence
    low, high = (f"{end:+.3g}" if np.isfinite(end) else "none" for end in (found.low, found.high))
    return [
        judged.claim.says,
        judged.verdict,
        str(found.n),
        f"{found.estimate:+.3g}",
        f"{low} to {high}" if low != "none" else "none",
        f"{judged.p:.2g}",
    ]


def how(judged: Judged) -> str:
    """Return one sentence that says what was compared, and how."""
    claim = judged.claim

    def over(pair: Pair) -> str:
        return f"{', '.join(pair.better)} over {', '.join(pair.than)}"

    pairs = " less that of ".join(over(pair) for pair in claim.pairs)
    low, high = claim.region
    where = f"between {low:g} and {high:g}" if np.isfinite(high) else f"above {low:g}"
    after = f" after {judged.trials} trials" if judged.trials else ""
    text = (
        f"Advantage of {pairs} in {claim.metric} regret{after}, {judged.seeds} "
        f"seed{'s' * (judged.seeds > 1)}, {where}: {claim.test} test, one-sided."
    )
    if judged.detectable is None:
        return text
    if not np.isfinite(judged.detectable):
        return text + f" Not resolvable: n = {judged.evidence.n} instances are too few at any size."
    return text + f" 80% power needs a centre about {judged.detectable:.2g} away from the bound."


def note(judged: Sequence[Judged]) -> str:
    """Return what a reader of the claims must know."""
    level, m = judged[0].evidence.level, judged[0].claims
    smallest = min(1.0, max(one.evidence.smallest_p for one in judged) * m)
    alpha = (1 - level) / 2
    return (
        f"A claim holds if its one-sided test says so at p <= {alpha:.3g}; a claim with two bounds needs "
        "both tests (TOST). A claim does not hold if the opposite test says so. "
        f"Otherwise it is not resolved. Holm's method corrects the p-values for {m} "
        f"claim{'s' if m > 1 else ''}. The p shown is that of the verdict, or, where a claim is not "
        "resolved, that the claim holds. n counts instances; those of one data set count as one. "
        f"Estimates are pseudomedians (sign test: medians) with {level:.0%} intervals, which are not "
        f"corrected. The smallest corrected p that could be reached is {smallest:.2g}."
    )


_FRAME = {
    "claim": pl.String, "says": pl.String, "verdict": pl.String, "n": pl.Int64, "advantage": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "p": pl.Float64, "seeds": pl.Int64, "trials": pl.Int64,
    "detectable": pl.Float64,
}  # fmt: skip


def claims_frame(judged: Sequence[Judged]) -> pl.DataFrame:
    """Return a row per claim; ``advantage`` is the centre, with the ends of its interval."""
    rows = [
        (
            one.name, one.claim.says, one.verdict, one.evidence.n, one.evidence.estimate, one.evidence.low,
            one.evidence.high, one.p, one.seeds, one.trials, one.detectable,
        )
        for one in judged
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=_FRAME, orient="row")
