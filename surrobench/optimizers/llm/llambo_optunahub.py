"""llambo-optunahub: LLAMBO as its port to Optuna runs it.

The port is ``package/samplers/llambo`` of optuna/optunahub-registry ee68019 (``sampler_base.py``,
``llambo/acquisition_function.py``, ``llambo/generative_sm.py``), after Liu et al., arXiv 2402.03921. The
paper's own form is ``llambo``. The parts that both share are in ``llambo_steps``.

These differences are on purpose:

- JSON, digits, parser and limits of s' are those of ``llambo``, without the port's system message.
- Ordinal lists of numbers count as numbers. The port knows no other numbers than floats and integers.
- Hyperparameters under conditions are drawn like categorical ones. The port cannot have them.
- "Integers only" is said of those hyperparameters that are integers.
- One to four candidates after the last round are used. The port throws them away for a random configuration.
- Duplicates are left out across rounds.
- The method does not ask about one candidate.

In the following points the port differs from the paper, and this method follows the port:

- The model makes no warm start.
- Classes are text, so that p(good) is 0, 0.5 or 1.
- A template gets one reply. The port's ``num_candidates`` and ``n_gens`` change nothing.
- No temperature, top_p or token limit is sent.
- An alpha of 0 or less becomes 0.001. When the ladder of alpha ends, s' is max(1e-5, 0.9 ybest), or
  min(0.9999, 1.05 ybest) where higher is better.
- All values seen are listed per hyperparameter, and none of them may be used again.
- The model is warned not to imitate the random trials while they are half of all or more.
- Failed trials are hidden from the model.
- Categorical hyperparameters are drawn at random and hidden from the model, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ConfigSpace.hyperparameters import OrdinalHyperparameter
from numpy.random import Generator as Draws

from surrobench.errors import UsageError
from surrobench.llm.parse import parse_configuration
from surrobench.llm.prompt_variants import ShownSpace
from surrobench.llm.proposal import Proposal
from surrobench.llm.schemas import json_schema
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.llm.history import History
from surrobench.optimizers.llm.llambo_steps import (
    Surrogate,
    Vector,
    aim,
    ask,
    check,
    expected_improvement,
    labels,
    limit,
    moments,
    rounded,
    shuffled,
    unseen,
    winner,
)
from surrobench.optimizers.llm.propose import trial
from surrobench.protocol.requests import Complete, Completion, Evaluate, Message, Request, Waste
from surrobench.space.hyperparameter import Matrix, is_integer, values_of
from surrobench.space.search_space import SearchSpace
from surrobench.untrusted import load_json

NAME = PROMPTS = "llambo-optunahub"
LADDER = (0.1, 1e-2, 1e-3, 1e-4, 1e-5)
DECIMALS = 6


def llambo_optunahub(
    task: Task,
    rng: Draws,
    *,
    surrogate: Surrogate = "generative",
    alpha: float = 0.1,
    templates: int = 2,
    top_share: float = 0.25,
    n_initial: int = 5,
    at_least: int = 5,
    rounds: int = 11,
    fallback: bool = True,
) -> Steps:
    """Draw random trials, then evaluate the candidate towards a target that is most often called good.

    The first ``n_initial`` trials are uniform random draws (source ``random``). A granted initial design
    counts among them. Then each trial has these steps:

    - The target s' is computed as in ``llambo``, but with a ladder of its own.
    - Each of the ``templates`` shows the trials in an order of its own and gives one candidate. This takes up
      to ``rounds`` rounds, until ``at_least`` candidates are kept that are valid, new (6 decimals) and
      distinct.
    - Each template classifies each candidate once as one of the best ``top_share`` (1) or not (0).
    - The candidate with the highest mean is evaluated, the first of equals.

    With ``discriminative``, the templates predict values instead, for expected improvement.

    The source ``fallback`` is the port's published rule for the case that no candidate is kept. It is a
    random configuration, with the reason among the repairs (``fallback:REASON``: a defect of ``llm.parse``,
    or ``duplicate``). With ``fallback = False`` that trial is wasted instead. Of the suite's policy for
    invalid replies only ``clip`` matters, which mends a candidate. The further rounds take the place of a
    re-ask.

    For a configuration of source ``llm``, the repairs name the values that were drawn beside the model
    (``drawn:NAME``). They also name what the model said of hyperparameters that it is not shown
    (``dropped:NAME``).

    Raises:
        UsageError: no hyperparameter is a number, or a count is below 1.
    """
    check(NAME, templates=templates, n_initial=n_initial, at_least=at_least, rounds=rounds)
    part = _numbers(task)
    past, ranks = History(task), list[Vector]()
    while True:
        ranks += [rng.random(templates) for _ in range(len(past) - len(ranks))]
        seen = [i for i, loss in enumerate(past.losses) if np.isfinite(loss)]
        drawn = _drawn(task.space, rng)
        anywhere = task.space.deactivate(drawn[None, :])
        if len(seen) < n_initial:
            past.add((yield Evaluate(anywhere, source="random")))
            continue
        examples = _Examples(
            part,
            [part.cut(x) for x in past.configurations],
            np.array(past.losses),
            seen,
            [shuffled(seen, ranks, k) for k in range(templates)],
            random=n_initial / len(seen),
            value=past.value,
        )
        candidates, none = yield from _sample(task, examples, alpha, rounds, at_least)
        if candidates:
            scores = yield from _scores(task, examples, candidates, surrogate, top_share)
            past.add((yield trial(part.completed(candidates[winner(scores)], drawn))))
        elif fallback:
            why = none.reason.partition(":")[0]
            past.add((yield Evaluate(anywhere, source="fallback", repairs=(f"fallback:{why}",))))
        else:
            past.add((yield none))


def _drawn(space: SearchSpace, rng: Draws) -> Matrix:
    """Return a value of every hyperparameter, shape (d,), whether its conditions hold or not."""
    u = rng.random(space.d)
    return np.array([space.column_from_unit(j, u[j : j + 1])[0] for j in range(space.d)])


# ---------------------------------------------------------------------- what the model knows of


@dataclass(frozen=True)
class _Numbers:
    """The part of a space that the model is shown.

    Attributes:
        whole: the space.
        view: the part as prompts show it. Its configurations have shape (p,).
        columns: shape (p,), the columns of the part in the whole.
        hidden: the rest, from the name that prompts would show to its own.
    """

    whole: SearchSpace
    view: ShownSpace
    columns: Sequence[int]
    hidden: Mapping[str, str]

    def cut(self, x: Matrix) -> Matrix:
        """Return the part, shape (p,), of a whole configuration, shape (d,)."""
        return np.asarray(x[self.columns])

    def text(self, x: Matrix) -> str:
        """Return a part, shape (p,), as one line of JSON."""
        return json.dumps(self.view.write(x))

    def completed(self, proposal: Proposal, drawn: Matrix) -> Proposal:
        """Return a proposal of the model with what is drawn, shape (d,), for the rest."""
        x = drawn.copy()
        x[self.columns] = proposal.configuration
        x = self.whole.deactivate(x[None, :])[0]
        rest = [j for j in range(self.whole.d) if j not in self.columns]
        names = [self.whole.names[j] for j in rest if not np.isnan(x[j]) and self.whole.levels[j] != 1]
        repairs = (*proposal.repairs, *(f"drawn:{name}" for name in names))
        return replace(proposal, configuration=x, repairs=repairs)

    def read(self, task: Task, reply: Completion) -> Proposal:
        """Return the part that a reply proposes, shape (p,).

        Values that the reply gives for the rest are left out, because a slot control, unlike the model, knows
        the whole space. Where a model guesses at the rest, the repairs say so (``dropped:NAME``).
        """
        try:
            said: Any = load_json(reply.text) if task.text_rules == 1 else None
        except ValueError:
            said = None
        extra = [name for name in self.hidden if name in said] if isinstance(said, dict) else []
        if extra:
            text = json.dumps({name: value for name, value in said.items() if name not in self.hidden})
            reply = replace(reply, text=text)
        default = task.default[self.columns]
        proposal = parse_configuration(reply, self.view, clip=task.invalid == "clip", default=default)
        if proposal.configuration is None:
            return proposal
        repairs = [*proposal.repairs, *(f"dropped:{self.hidden[name]}" for name in extra)]
        if not reply.where:  # a control's replies are in no journal
            repairs = [repair for repair in repairs if repair[8:] not in self.hidden.values()]
        return replace(proposal, repairs=tuple(repairs))


def _numbers(task: Task) -> _Numbers:
    space = task.space
    columns = [j for j in range(space.d) if _is_number(space, j)]
    if not columns:
        raise UsageError(
            f"{NAME} hides categorical hyperparameters from the model, and this space has no other.",
            "Use llambo, which shows them.",
        )
    view = task.shown.only(columns)
    places = [space.column(name) for name in view.space.names]
    shown = zip(task.shown.names, space.names, strict=True)
    hidden = {name: own for j, (name, own) in enumerate(shown) if j not in places}
    return _Numbers(space, view, places, hidden)


def _is_number(space: SearchSpace, j: int) -> bool:
    hp = space.hyperparameters[j]
    if space.levels[j] == 1 or space.conditions(j):
        return False
    values = values_of(hp)
    ordered = isinstance(hp, OrdinalHyperparameter) or values is None
    return ordered and all(isinstance(value, int | float) for value in values or ())


@dataclass(frozen=True)
class _Examples:
    """The contents of the prompts of one trial.

    Attributes:
        part: what the model is shown of the space.
        parts: that part of every configuration of the run, each of shape (p,).
        losses: shape (trials,); NaN where the trial failed.
        seen: the trials that did not fail.
        orders: the seen trials in the order of each template.
        random: the initial random trials, as a share of ``seen``.
        value: writes a loss as the value of the objective.
    """

    part: _Numbers
    parts: Sequence[Matrix]
    losses: Vector
    seen: Sequence[int]
    orders: Sequence[Sequence[int]]
    random: float
    value: Callable[[float], str]

    def shown(self, order: Sequence[int], said: Sequence[str]) -> list[tuple[str, str]]:
        """Return configurations with what is said of each."""
        return [(self.part.text(self.parts[i]), said[i]) for i in order]

    def values_seen(self) -> list[tuple[str, str]]:
        """Return each hyperparameter with the values that it has had, ascending."""
        rows = [self.part.view.write(self.parts[i]) for i in self.seen]
        return [
            (name, ", ".join(str(value) for value in sorted({row[name] for row in rows})))
            for name in self.part.view.names
        ]


# ---------------------------------------------------------------------- candidates and their scores


def _sample(
    task: Task, examples: _Examples, alpha: float, rounds: int, wanted: int
) -> Generator[Request, Any, tuple[list[Proposal], Waste]]:
    """Return the candidates kept, and the reason if there is none."""
    part = examples.part
    prompts = _prompts_for_candidates(task, examples, _target(task, examples, alpha))
    seen = {rounded(examples.parts[i], DECIMALS) for i in examples.seen}
    kept: list[Proposal] = []
    none = Waste("")
    for _ in range(rounds):
        batches: list[list[Completion]] = yield [
            Complete(messages, "propose", schema=json_schema(part.view)) for messages in prompts
        ]
        for [reply] in batches:
            proposal = part.read(task, reply)
            x, verdict = proposal.configuration, str(proposal.defect or "valid")
            if x is None:
                none = Waste(f"{proposal.defect}: {proposal.detail}", reply=proposal.reply)
            elif rounded(x, DECIMALS) in seen:
                verdict = "duplicate"
                none = Waste("duplicate: it was evaluated before", reply=proposal.reply)
            elif unseen(x, seen, _configurations(kept), DECIMALS):
                kept.append(proposal)
            task.answers[f"propose:{verdict}"] += 1
        if len(kept) >= wanted:
            break
    return kept, none


def _configurations(proposals: Sequence[Proposal]) -> list[Matrix]:
    return [proposal.configuration for proposal in proposals if proposal.configuration is not None]


def _target(task: Task, examples: _Examples, alpha: float) -> str:
    """Return the target s' as prompts say it."""
    minimize, sign = task.objective.minimize, task.objective.sign
    values = examples.losses[examples.seen] * sign
    target = aim(values, minimize, alpha if alpha > 0 else 1e-3, LADDER)
    if target is None:
        bound = limit(values, minimize)
        assert bound is not None  # without a limit, the first step is taken
        target = max(bound, 0.9 * values.min()) if minimize else min(bound, 1.05 * values.max())
    return examples.value(target * sign)


def _scores(
    task: Task, examples: _Examples, candidates: Sequence[Proposal], surrogate: Surrogate, top_share: float
) -> Generator[Request, Any, Vector]:
    """Return a score of each candidate.

    The score is the share of templates that call the candidate good, or its expected improvement.
    """
    if len(candidates) == 1:
        return np.zeros(1)
    parts = _configurations(candidates)
    if surrogate == "generative":
        classes = labels(examples.losses, top_share)
        said = [str(label) for label in classes]
        prompts = _prompts_about(task, examples, parts, "classify", said, share=round(100 * top_share))
        return moments((yield from ask(task, "classify", prompts, 1, {})))[0]
    sign, observed = task.objective.sign, examples.losses[examples.seen]
    said = [examples.value(loss) for loss in examples.losses]
    prompts = _prompts_about(task, examples, parts, "predict", said)
    mu, sigma = moments((yield from ask(task, "predict", prompts, 1, {})) * sign)
    floor = 1e-5 * (float(np.ptp(observed)) or 1.0)
    return expected_improvement(mu, np.maximum(sigma, floor), float(observed.min()))


# ---------------------------------------------------------------------- prompts


def _prompts_for_candidates(task: Task, examples: _Examples, target: str) -> list[tuple[Message, ...]]:
    view = examples.part.view
    said = [examples.value(loss) for loss in examples.losses]
    integers = [name for name, hp in zip(view.names, view.hyperparameters, strict=True) if is_integer(hp)]
    texts = [
        task.prompt(
            PROMPTS,
            "sample",
            view=view,
            target=target,
            seen=examples.values_seen(),
            integers=", ".join(integers),
            random=examples.random,
            examples=examples.shown(order, said),
        )
        for order in examples.orders
    ]
    return [(Message("user", text),) for text in texts]


def _prompts_about(
    task: Task, examples: _Examples, parts: Sequence[Matrix], question: str, said: Sequence[str], **more: Any
) -> list[list[str]]:
    """Return the same question about each candidate, for each template.

    A prompt has a common head, and the candidate comes last.
    """
    ending = {"predict": "Performance:", "classify": "Classification:"}[question]
    heads = [
        task.prompt(
            PROMPTS,
            question,
            view=examples.part.view,
            random=examples.random,
            examples=examples.shown(order, said),
            **more,
        )
        for order in examples.orders
    ]
    asked = [f"Configuration: {examples.part.text(x)}\n{ending}" for x in parts]
    return [[f"{head}\n\n{question}" for question in asked] for head in heads]
