"""Count what the replies of language models came to and cost, by method, model and prompt variant.

Shares are taken over the answers of all runs together. A ``duplicate`` is a valid configuration that had been
evaluated before; the other verdicts are defects (``llm.parse``). Slot controls are listed like models: their
answers are valid by construction and cost nothing, but may be duplicates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import polars as pl

from surrobench.errors import ResultsError
from surrobench.llm.parse import IN_REASONING
from surrobench.optimizers.llm.control import PREFIX
from surrobench.protocol.requests import Purpose
from surrobench.report.data.load import RunFilter, joint_plan
from surrobench.report.render.table import NONE, Cell, Column, Table, word
from surrobench.results.folder import Results

VERDICTS = (
    "valid", "duplicate", "out-of-range", "missing", "unknown-name", "unparsable", "truncated", "refused",
)  # fmt: skip
"""The verdicts on an answer, in the order of tables."""

REPAIRS = {
    "json": "JSON that was slightly wrong, such as a comma before a closing bracket",
    "text": "a value of another type that says the same, such as text for a number",
    "snapped": "a number between the values that exist",
    "dropped": "a name that is unknown or inactive",
    "clipped": "a value moved into its range (policy clip)",
    "filled": "a missing value replaced by the default (policy clip)",
}
"""The kinds of repairs of a proposal, and what each of them mends; see ``llm.parse``."""

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
BY_MODEL = (pl.col("source") == "llm") | pl.col("source").str.starts_with(PREFIX)
"""Selects trials that a language model proposed, or a control in its place; wasted ones are among them."""
INITIAL = "initial"
"""The source of the trials that were granted to every method: no model proposed them."""


@dataclass(frozen=True)
class Replies:
    """The counts of one method with one model that is shown one variant.

    Attributes:
        method: the label of the method.
        model: the label of the language model, or the slot control in its place.
        variant: what the model was shown; None for a slot control.
        planned: the number of runs that the suites name.
        runs: the number of runs that are recorded.
        unrecorded: the number of recorded runs that asked their model, but whose verdicts nobody counted. An
            older surrobench made them, or the method reads its replies by itself.
        answers: purpose -> verdict -> the number of answers.
        trials: the trials that the method spent, without the granted initial design.
        proposed: the trials that the model proposed; the others are the method's own.
        wasted: the trials that were spent on an invalid proposal.
        duplicates: the trials whose configuration had been evaluated before.
        repaired: the trials with a value that was mended.
        calls: the number of completions; a slot control has none.
        tokens_in, tokens_out: the tokens of all calls.
        latency: the seconds of all calls together.
        in_reasoning: the trials wasted on a reply whose only configuration stood in the reasoning.
        mended: kind of a repair -> the trials that the model proposed with such a repair.
    """

    method: str
    model: str
    variant: str | None
    planned: int
    runs: int
    unrecorded: int
    answers: dict[str, Counter[str]]
    trials: int
    proposed: int
    wasted: int
    duplicates: int
    repaired: int
    calls: int
    tokens_in: int
    tokens_out: int
    latency: float
    in_reasoning: int = 0
    mended: Mapping[str, int] = field(default_factory=dict)

    def count(self, purpose: str) -> int:
        """Return the number of answers to questions of one purpose."""
        return self.answers.get(purpose, Counter()).total()


def load_replies(folders: Sequence[Results], choice: RunFilter | None = None) -> list[Replies]:
    """Return the counts of all methods that ask a language model, in the order of the suites.

    Runs that are not finished are left out: only ``planned`` counts them.

    Raises:
        UnknownName: a pattern of the choice matches nothing.
        ResultsError: no method asks a language model, or a file is damaged.
    """
    plan = (choice or RunFilter()).of(joint_plan(folders)).filter(pl.col("llm").is_not_null())
    if plan.is_empty():
        raise ResultsError("No method here asks a language model.", "Add models to a method of the suite.")
    of_run = _spent(folders, plan)
    spent = {row["method"]: row for row in of_run.drop("run").group_by("method").sum().iter_rows(named=True)}
    asked = set(of_run.filter(pl.col("calls") > 0)["run"])
    records = [folder.records() for folder in folders]
    found = []
    for (name,), mine in plan.group_by("method", maintain_order=True):
        first = mine.row(0, named=True)
        answers: dict[str, Counter[str]] = {}
        recorded = unrecorded = 0
        for run, folder in mine.select("run", "folder").iter_rows():
            if (record := records[folder].get(run)) is None:
                continue
            recorded += 1
            unrecorded += run in asked and not record.answers
            for key, count in record.answers.items():
                purpose, _, verdict = key.partition(":")
                answers.setdefault(purpose, Counter())[verdict] += count
        of_trials = {key: value for key, value in spent.get(str(name), _NOTHING).items() if key != "method"}
        of_trials["mended"] = {kind: of_trials.pop(f"mended:{kind}") for kind in REPAIRS}
        found.append(
            Replies(
                first["optimizer"], first["llm"], first["variant"], len(mine), recorded, unrecorded, answers,
                **of_trials,
            )
        )  # fmt: skip
    return found


_COSTS = ("calls", "tokens_in", "tokens_out", "latency")
_COUNTS = ("trials", "proposed", "wasted", "duplicates", "repaired", "in_reasoning")
_NOTHING = dict.fromkeys((*_COUNTS, *(f"mended:{kind}" for kind in REPAIRS), *_COSTS), 0)


def _has(kind: str) -> pl.Expr:
    """Return whether the model proposed a trial, with a repair of a kind."""
    return BY_MODEL & pl.col("repairs").str.contains(f"(^|,){kind}:")


def _spent(folders: Sequence[Results], plan: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each recorded run: method, run, and what its trials came to and cost."""
    needed = ["run", "source", "status", "duplicate", "repairs", "error", *_COSTS]
    parts = []
    for number, folder in enumerate(folders):
        mine = plan.filter(pl.col("folder") == number).select("run", "method")
        own = pl.col("source") != INITIAL
        with folder.reading():
            parts.append(
                folder.trials(needed)
                .join(mine.lazy(), on="run")
                .group_by("method", "run")
                .agg(
                    trials=own.sum(),
                    proposed=BY_MODEL.sum(),
                    wasted=(own & (pl.col("status") == "invalid")).sum(),
                    duplicates=(own & pl.col("duplicate")).sum(),
                    repaired=(own & pl.col("repairs").is_not_null()).sum(),
                    in_reasoning=(own & pl.col("error").str.contains(IN_REASONING, literal=True)).sum(),
                    **{f"mended:{kind}": _has(kind).sum() for kind in REPAIRS},
                    calls=pl.col("calls").cast(pl.Int64).sum(),
                    tokens_in=pl.col("tokens_in").cast(pl.Int64).sum(),
                    tokens_out=pl.col("tokens_out").cast(pl.Int64).sum(),
                    latency=pl.col("latency").sum(),
                )
                .collect()
            )
    return pl.concat(parts)


# ---------------------------------------------------------------------- as tables

_NAMES = tuple(Column(name, name, words=True) for name in ("method", "model", "variant"))


def tables_of(found: Sequence[Replies]) -> list[Table]:
    """Return tables of the proposals, of other questions if any were asked, of the trials and of the cost."""
    others = [
        (one, purpose) for one in found for purpose in PURPOSES if purpose != "propose" and one.count(purpose)
    ]
    repaired = [_repairs(found)] if any(sum(one.mended.values()) for one in found) else []
    return [
        _proposals(found),
        *([_others(others)] if others else []),
        _trials(found),
        *repaired,
        _costs(found),
    ]


def _names(one: Replies) -> tuple[Cell, ...]:
    return word(one.method), word(one.model), word(one.variant)


def _proposals(found: Sequence[Replies]) -> Table:
    columns = (Column("answers", "answers"), *(_verdict(verdict) for verdict in VERDICTS))
    rows = [(*_names(one), *_verdicts(one, "propose", VERDICTS)) for one in found]
    notes = [
        "Shares of all answers, all runs together; verdicts without an answer are left out. An answer is one "
        "configuration that was asked for: a reply may list several. Duplicate: the configuration is valid, "
        "but had been evaluated in the same run."
    ]
    if lacking := sum(one.unrecorded for one in found):
        notes.append(
            f"Not recorded: in {lacking:,} of {sum(one.runs for one in found):,} runs nobody counted what "
            "answers came to (an older surrobench, or a method that reads replies by itself)."
        )
    if hidden := sum(one.in_reasoning for one in found):
        notes.append(
            f"{hidden:,} trials were wasted although there was a configuration in what the server calls the "
            "model's reasoning: its reasoning parser does not fit the model. Start the server without it, or "
            "with another."
        )
    if missing := sum(one.planned - one.runs for one in found):
        notes.append(f"{missing:,} runs are not finished; they are left out.")
    return Table(
        "proposals",
        "Proposals: what answers came to",
        (*_NAMES, *columns),
        tuple(rows),
        tuple(notes),
        grouped=True,
    )


def _others(asked: Sequence[tuple[Replies, Purpose]]) -> Table:
    """Return the table of predictions, classes and reflections, with the verdicts that their methods know."""
    known = dict.fromkeys(verdict for one, purpose in asked for verdict in one.answers[purpose])
    verdicts = sorted(known, key=lambda verdict: (verdict != "valid", verdict))
    rows = [(*_names(one), word(purpose), *_verdicts(one, purpose, verdicts)) for one, purpose in asked]
    columns = (Column("purpose", "purpose", words=True), Column("answers", "answers"))
    return Table(
        "questions",
        "Other questions: what answers came to",
        (*_NAMES, *columns, *(_verdict(verdict) for verdict in verdicts)),
        tuple(rows),
        ("Shares of all answers to questions of this purpose, all runs together.",),
        grouped=True,
    )


def _verdict(verdict: str) -> Column:
    return Column(verdict, verdict.replace("-", " "))


def _verdicts(one: Replies, purpose: str, verdicts: Sequence[str]) -> tuple[Cell, ...]:
    """Return the number of answers, and the share of each verdict."""
    count = one.count(purpose)
    if not count:
        return (Cell("not recorded" if one.unrecorded else "0", None if one.unrecorded else 0),) + (
            Cell(),
        ) * len(verdicts)
    shares = [one.answers[purpose][verdict] / count for verdict in verdicts]
    return (Cell(f"{count:,}", count), *(Cell(_percent(share), share) for share in shares))


def _trials(found: Sequence[Replies]) -> Table:
    shares = ("by model", "wasted", "repeated", "repaired")
    rows = [
        (
            *_names(one),
            Cell(f"{one.runs:,}", one.runs),
            Cell(f"{one.trials:,}", one.trials),
            *(
                _ratio(part, one.trials, _percent)
                for part in (one.proposed, one.wasted, one.duplicates, one.repaired)
            ),
        )
        for one in found
    ]
    return Table(
        "trials",
        "Trials: what became of the proposals",
        (
            *_NAMES,
            Column("runs", "runs"),
            Column("trials", "trials"),
            *(Column(name.replace(" ", "_"), name) for name in shares),
        ),
        tuple(rows),
        (
            "Shares of all trials, without the granted initial design. By model: the model proposed the "
            "trial; the others are the method's own. Wasted: the proposal was invalid. Repeated: the "
            "configuration had been evaluated before. Repaired: a value was mended. To read the replies: "
            "surrobench show RUN --prompts.",
        ),
        grouped=True,
    )


def _repairs(found: Sequence[Replies]) -> Table:
    """Return the table of what was mended in the trials that the model proposed."""
    kinds = [kind for kind in REPAIRS if any(one.mended.get(kind) for one in found)]
    rows = [
        (*_names(one), *(_ratio(one.mended.get(kind, 0), one.proposed, _percent) for kind in kinds))
        for one in found
    ]
    said = "; ".join(f"{kind}: {REPAIRS[kind]}" for kind in kinds)
    return Table(
        "repairs",
        "Repairs: what was mended in the proposals",
        (*_NAMES, *(Column(kind, kind) for kind in kinds)),
        tuple(rows),
        (f"Shares of the trials that the model proposed. {said[0].upper()}{said[1:]}.",),
        grouped=True,
    )


def _costs(found: Sequence[Replies]) -> Table:
    columns = (
        Column("calls_per_trial", "calls /trial"),
        Column("tokens_in_per_call", "in /call"),
        Column("tokens_out_per_call", "out /call"),
        Column("tokens_in_per_trial", "in /trial"),
        Column("tokens_out_per_trial", "out /trial"),
        Column("latency", "s /call"),
    )
    rows = []
    for one in found:
        tokens = (one.tokens_in, one.tokens_out)
        rows.append(
            (
                *_names(one),
                _ratio(one.calls, one.trials, "{:.2f}".format),
                *(_ratio(part, one.calls, "{:,.0f}".format) for part in tokens),
                *(_ratio(part, one.trials, "{:,.0f}".format) for part in tokens),
                _ratio(one.latency, one.calls, "{:.2f}".format),
            )
        )
    note = (
        "In and out are tokens. s is the mean time in seconds from a request to the last byte of its answer, "
        "which depends on the load of the server."
    )
    return Table("cost", "Cost of the replies", (*_NAMES, *columns), tuple(rows), (note,), grouped=True)


def _ratio(part: float, whole: int, shown: Callable[[float], str]) -> Cell:
    """Return the ratio; empty where there is nothing to divide by, since a control makes no calls."""
    return Cell(shown(part / whole), part / whole) if whole else Cell()


def _percent(share: float) -> str:
    if share == 0:
        return NONE
    return "< 0.1%" if share < 0.001 else f"{share:.1%}"
