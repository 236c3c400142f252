"""State what a suite claims before anything is run: ``[claims.NAME]``, judged by ``surrobench rank``.

The *advantage* of one group of methods over another is the regret of the second less the regret of the first,
on each instance. It is positive where the first is better. A group's regret is the mean over its methods. A
label that is run with several models stands for all of them, with nothing hidden from them.
``"label (model)"`` names one model, ``"label (model, anonymous)"`` one model under a prompt variant, and
``"label (control:random)"`` the slot control in the model's place. A claim says where the advantage lies:

    better = A, than = B                above the margin, 0 unless given
    no_worse = A, than = B, margin = m  above -m
    equal = A, to = B, margin = m       between -m and m
    gap = {better = A, than = B}, smaller_than = {better = C, than = D}
                                        C's over D less A's over B lies above the margin

``stats.verdict`` says how a claim is judged, and what the three verdicts mean.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from surrobench.protocol.claim_test import ClaimTest

Metric = Literal["quantile", "log-quantile", "normalised"]
"""The kind of regret: quantile regret, its decimal logarithm (0.3 is a factor of two), or normalised regret
(anchor median, unclipped). Lower is better."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Group = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
"""Labels of methods; one needs no brackets."""


class Pair(BaseModel):
    """The advantage of one group over another."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    better: Group
    """The group whose advantage is meant."""
    than: Group
    """The group that it is compared with."""


class Claim(BaseModel):
    """``[claims.NAME]``: one claim of the study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    says: str = Field(min_length=1)
    """The claim in words."""
    better: Group | None = None
    """Claim that these methods are better than those in ``than``, by more than the margin."""
    no_worse: Group | None = None
    """Claim that these methods are worse than those in ``than`` by less than the margin."""
    equal: Group | None = None
    """Claim that these methods differ from those in ``to`` by less than the margin."""
    than: Group | None = None
    """The other methods of ``better`` and ``no_worse``."""
    to: Group | None = None
    """The other methods of ``equal``."""
    gap: Pair | None = None
    """Claim that this advantage is smaller than the one in ``smaller_than``."""
    smaller_than: Pair | None = None
    """The other advantage of ``gap``."""
    margin: float | None = Field(default=None, gt=0)
    """How large a difference is, in units of the metric, that does not matter."""
    after: int | None = Field(default=None, ge=1)
    """How many trials count; by default, the most that all methods of the claim have."""
    metric: Metric = "quantile"
    """Which regret is compared."""
    test: ClaimTest = "wilcoxon"
    """Which test judges the claim: the signed-rank test (``wilcoxon``), the ``sign`` test, which assumes
    less, or the sign-flip test of the ``mean``, which is what tables show."""

    @model_validator(mode="after")
    def _one_form(self) -> Claim:
        forms = {"better": "than", "no_worse": "than", "equal": "to", "gap": "smaller_than"}
        given = [key for key in forms if getattr(self, key) is not None]
        if len(given) != 1:
            what = " and ".join(given) if given else "none"
            raise ValueError(f"give one of better, no_worse, equal and gap, not {what}")
        (form,) = given
        partner = forms[form]
        if getattr(self, partner) is None:
            raise ValueError(f"{form} needs {partner} beside it")
        for other in {"than", "to", "smaller_than"} - {partner}:
            if getattr(self, other) is not None:
                raise ValueError(f"{form} goes with {partner}, not with {other}")
        if form in {"no_worse", "equal"} and self.margin is None:
            raise ValueError(
                f"{form} needs a margin: how large a difference in {self.metric} does not matter"
            )
        for pair in self.pairs:
            if both := set(pair.better) & set(pair.than):
                raise ValueError(f"{', '.join(sorted(both))} is on both sides")
        return self

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pair whose advantage is meant; for a gap, first the pair with the larger advantage."""
        if self.gap and self.smaller_than:
            return self.smaller_than, self.gap
        first, second = self.better or self.no_worse or self.equal, self.than or self.to
        return (Pair(better=first or [], than=second or []),)

    @property
    def region(self) -> tuple[float, float]:
        """The interval in which the advantage is claimed to lie, both ends excluded."""
        margin = self.margin or 0.0
        if self.equal:
            return -margin, margin
        return (-margin if self.no_worse else margin), float("inf")

    @property
    def methods(self) -> dict[str, list[str]]:
        """The labels that the claim names, by the key that names them."""
        named = {}
        for key in ("better", "no_worse", "equal", "than", "to"):
            if group := getattr(self, key):
                named[key] = list(group)
        for key in ("gap", "smaller_than"):
            if pair := getattr(self, key):
                named[key] = [*pair.better, *pair.than]
        return named
