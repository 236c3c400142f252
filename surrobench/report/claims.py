"""Judge a suite's claims on its results: each holds, does not hold, or is not resolved, with the evidence.

Claims are judged as the suite states them, regardless of the limits of a ranking. They use the seeds common
to all methods of the claim, after as many trials as the claim says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ValidationError

from surrobench.errors import ResultsError
from surrobench.llm.prompt_variants import VARIANTS
from surrobench.optimizers.llm.control import PREFIX
from surrobench.protocol.budget import Budget
from surrobench.protocol.claim_test import ClaimTest
from surrobench.report.data.load import joint_plan
from surrobench.report.data.seed_array import SeedArray, cells
from surrobench.report.data.study_data import StudyData, load_study
from surrobench.report.looks import Look, look_at, record
from surrobench.results.folder import Results
from surrobench.stats.looks import always_valid_p
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
        look: which look at the results this is, from 1; see ``report.looks``.
        status: "confirmatory", "exploratory", or empty where it is not known whether the claim came first.
        why: why the verdict explores; or "".
        other: the verdict of the other test, of the mean or of the pseudomedian.
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
    look: Look | None = None
    status: str = ""
    why: str = ""
    other: Verdict | None = None

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
            "status": self.status or None,
            "why": self.why or None,
            "look": self.look and self.look.number,
            "other_test": self.other and {"test": _OTHER[self.claim.test], "verdict": self.other},
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
    alpha: float | None = None,
    *,
    plan: pl.DataFrame | None = None,
) -> tuple[Judged, ...]:
    """Judge the claims of a study's suite, except claims about a method that is not in the results.

    Args:
        results: the folder, or several folders that hold a study; the claims are those of the first.
        alpha: the family-wise level over the claims, for either kind of mistake; by default the suite's.
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
    look = look_at(results, plan, alpha)
    judged = judge_claims(claims, studies, look.level, stated=len(stated), look=look)
    if alpha is None or alpha == look.alpha:
        kinds = ("verdict", "p_holds", "p_fails")
        record(
            results,
            look,
            {
                one.name: {
                    **{kind: getattr(one, kind) for kind in kinds},
                    "e_holds": one.evidence.e_holds,
                    "e_fails": one.evidence.e_fails,
                }
                for one in judged
            },
        )
    return judged


def judge_claims(
    claims: Mapping[str, Claim],
    studies: Mapping[int | None, StudyData],
    alpha: float = 0.05,
    *,
    stated: int | None = None,
    look: Look | None = None,
) -> tuple[Judged, ...]:
    """Judge claims on the results of runs.

    Args:
        claims: name -> claim.
        studies: number of trials -> the study after that many trials, for each ``after`` of the claims.
        alpha: the family-wise level.
        stated: the number of claims of the suite, over which p is corrected; by default the number of the
            given claims. A part of the suite's methods must not make a claim easier to resolve.
        look: which look at the results this is; its e-values count where looks are unlimited.
    """
    m = stated or len(claims)
    found = []
    for name, claim in claims.items():
        study = studies[claim.after]
        known = sorted(study.incumbents["method"].unique())
        needed = {method for labels in claim.methods.values() for method in _expanded(labels, known)}
        part = cells(study, claim.metric, sorted(needed))
        advantages = _advantages(claim, part, known)
        one = evidence(advantages, claim.region, test=claim.test, alpha=alpha, decimals=DECIMALS)
        found.append((part, advantages, one if look is None else _at_every_look(one, name, look)))
    judged = verdicts([one for _, _, one in found], alpha, of=m)
    return tuple(
        _with_status(
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
            alpha=alpha,
            look=look,
        )
        for (name, claim), (part, advantages, one), (verdict, p_holds, p_fails) in zip(
            claims.items(), found, judged, strict=True
        )
    )


_OTHER: dict[ClaimTest, ClaimTest] = {"wilcoxon": "mean", "sign": "mean", "mean": "wilcoxon"}
"""The test whose verdict is compared: tables show means, and the signed-rank test is about another centre."""


def _at_every_look(found: Evidence, name: str, look: Look) -> Evidence:
    """Return evidence whose p-values hold at every look, where the suite states unlimited looks."""
    if not look.unlimited:
        return found
    return replace(
        found,
        p_holds=always_valid_p([*look.e_values(name, "e_holds"), found.e_holds]),
        p_fails=always_valid_p([*look.e_values(name, "e_fails"), found.e_fails]),
    )


def _with_status(name: str, claim: Claim, *, alpha: float, look: Look | None, **found: Any) -> Judged:
    """Return a judged claim with what its verdict needs beside it."""
    advantages, m, verdict = found["advantages"], found["claims"], found["verdict"]
    other = evidence(advantages, claim.region, test=_OTHER[claim.test], alpha=alpha, decimals=DECIMALS)
    [(says, _, _)] = verdicts([other], alpha, of=m)
    detectable = None
    if verdict == "not resolved" and claim.test == "wilcoxon":
        rng = np.random.default_rng(0)
        detectable = smallest_detectable(advantages, alpha / m, POWER, rng, one_sided=True)
    status, why = ("", "")
    if look is not None:
        status, why = look.status(name, claim.model_dump(mode="json", exclude_none=True))
    return Judged(name, claim, detectable=detectable, look=look, status=status, why=why, other=says, **found)


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
        judged.verdict + (" (exploratory)" if judged.status == "exploratory" else ""),
        str(found.n),
        f"{found.estimate:+.3g}",
        f"{low} to {high}" if low != "none" else "none",
        f"{judged.p:.2g}",
    ]


_CENTRE: dict[ClaimTest, str] = {"wilcoxon": "pseudomedian", "sign": "median", "mean": "mean"}
_TESTED: dict[ClaimTest, str] = {
    "wilcoxon": "signed-rank test of the pseudomedian (the mean only where differences are symmetric)",
    "sign": "sign test of the median",
    "mean": "sign-flip test of the mean",
}


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
        f"seed{'s' * (judged.seeds > 1)}, {where}: {_TESTED[claim.test]}, one-sided."
    )
    if judged.why:
        text += f" Exploratory: {judged.why}."
    if (
        judged.other
        and judged.other != judged.verdict
        and "not resolved" not in (judged.other, judged.verdict)
    ):
        text += f" The test of the {_CENTRE[_OTHER[claim.test]]} says the opposite: {judged.other}."
    elif judged.other and judged.other != judged.verdict:
        text += f" By the test of the {_CENTRE[_OTHER[claim.test]]}: {judged.other}."
    text += f" Mean advantage: {judged.evidence.mean:+.3g}."
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
        f"Estimates are pseudomedians (sign test: medians; test of the mean: means) with {level:.0%} "
        f"intervals, which are not corrected. The smallest corrected p that could be reached is "
        f"{smallest:.2g}." + (f" {judged[0].look.note}" if judged[0].look and judged[0].look.note else "")
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
