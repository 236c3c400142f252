"""Drives a method that asks a language model, as the engine does, with scripted replies and made-up losses.

of = task_of(CAR, X, losses)                               # with a granted initial design
chat = play(opro(of, rng), of, randomly(of), 20)           # twenty trials
chat.sources, chat.prompts(), chat.turns[3].loss           # what came of it

chat = Chat(karpathy_agent(of, rng), of)                   # or by hand
trial = chat.say('{"width": 16}')
prompt = chat.score(-0.5)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import cycle
from typing import Any, NamedTuple

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np

from surrobench.benchmarks.base import Objective, TaskCard
from surrobench.benchmarks.registry import benchmark
from surrobench.llm.prompt_variants import VARIANTS, Variant, shown_card
from surrobench.llm.prompts import TEXT_RULES
from surrobench.llm.shown_values import ShownValues
from surrobench.optimizers.base import Steps, Task, computed
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.plan.run import Run
from surrobench.protocol.requests import Complete, Completion, Evaluate, Evaluated, Waste
from surrobench.space.hyperparameter import Hyperparameter, Matrix
from surrobench.space.search_space import SearchSpace


def describe(hp: Hyperparameter) -> str:
    """Say how prompts describe a hyperparameter."""
    return ShownValues(hp, TEXT_RULES).describe()


CAR = "hpobench/mlp/car"
XGBOOST = "yahpo/rbv2_xgboost/16"
EVERYWHERE: tuple[Variant, ...] = VARIANTS

INVALID = {
    "unparsable": ("I am not sure.", "stop"),
    "missing": ('{"width": 16}', "stop"),
    "unknown-name": ('{"widht": 16}', "stop"),
    "out-of-range": ('{"width": 99999}', "stop"),
    "truncated": ('{"width": ', "length"),
    "refused": ("", "refusal"),
}
"""Replies about ``CAR`` that are no configuration, by their defect."""

Said = str | Matrix | tuple[str, str] | Completion
"""One: its text, a configuration (d,) to be written with all digits, text and finish reason, or all."""
Reply = Callable[[Complete], Any]
"""A model: called once per completion; or once per request, if it returns a list of all its completions."""


# ---------------------------------------------------------------------- tasks


def task_of(
    id_: str = CAR,
    initial: Matrix | None = None,
    losses: Any = (),
    *,
    invalid: str = "waste",
    variant: Variant = "full",
    horizon: int = 100,
) -> Task:
    """The task of a benchmark, or of the made-up spaces ``continuous`` and ``mixed``."""
    if id_ in MADE_UP:
        space, objective = _made_up(id_), Objective("loss", True, "loss")
        card = TaskCard("boosting", "made up", "regression", 100, 3, None, "loss", True)
        default = space.default
    else:
        at = benchmark(id_)
        space, objective, card, default = at.space, at.objective, at.card, at.scenario.default()
    return Task(
        space=space,
        objective=objective,
        card=shown_card(card, variant),  # as the engine does
        default=default,
        initial=Evaluated(
            np.empty((0, space.d)) if initial is None else initial, np.asarray(losses, dtype=float)
        ),
        horizon=horizon,
        invalid=invalid,
        variant=variant,
    )


def losses_of(id_: str, X: Matrix) -> Matrix:
    """The benchmark's own, without noise; of a made-up space the distance from a point."""
    if id_ in MADE_UP:
        return np.asarray(np.nansum((_made_up(id_).to_unit(X) - 0.3) ** 2, axis=1))
    at = benchmark(id_)
    return at.objective.sign * at.evaluate(X)[at.objective.name]


def samples(of: Task, n: int, seed: int = 0) -> Matrix:
    return of.space.sample(n, np.random.default_rng(seed))


def continuous() -> SearchSpace:
    return SearchSpace(CS.ConfigurationSpace({f"x{j}": (0.0, 1.0) for j in range(4)}))


def mixed() -> SearchSpace:
    """Every kind of hyperparameter, two of them conditional, one of these on the other."""
    config_space = CS.ConfigurationSpace()
    booster = CS.CategoricalHyperparameter("booster", ["tree", "linear", "dart"])
    drop = CS.UniformFloatHyperparameter("drop", 0.1, 0.5)
    skip = CS.UniformIntegerHyperparameter("skip", 1, 5)
    config_space.add(
        CS.UniformFloatHyperparameter("subsample", 0.1, 1.0),
        CS.UniformFloatHyperparameter("eta", 1e-4, 1.0, log=True),
        CS.UniformIntegerHyperparameter("depth", 1, 15),
        CS.UniformIntegerHyperparameter("rounds", 3, 2000, log=True),
        CS.OrdinalHyperparameter("batch", [16, 32, 64, 128], meta={"log": True}),
        CS.Constant("threads", 4),
        booster,
        drop,
        skip,
    )
    config_space.add(CS.EqualsCondition(drop, booster, "dart"), CS.GreaterThanCondition(skip, drop, 0.2))
    return SearchSpace(config_space)


MADE_UP: dict[str, Callable[[], SearchSpace]] = {"continuous": continuous, "mixed": mixed}


@cache
def _made_up(id_: str) -> SearchSpace:
    return MADE_UP[id_]()


# ---------------------------------------------------------------------- replies


def written(of: Task, x: Matrix) -> str:
    """A configuration, shape (d,), as the model sees and writes it."""
    return json.dumps(of.shown.write(x))


def exactly(space: SearchSpace, x: Matrix) -> str:
    """A configuration as JSON with all digits, so that it is read back as it is."""
    return json.dumps(space.decode(x)[0])


def said(*texts: str, finish: Any = "stop") -> list[Completion]:
    """The completions of one request, named ``0.0.0``, ``0.0.1``, ..."""
    return [Completion(text, finish, 10, 5, 0.1, where=f"0.0.{i}") for i, text in enumerate(texts)]


def randomly(of: Task, seed: int = 0) -> Reply:
    """A model that proposes at random, always validly, as many configurations as are asked for."""
    rng = np.random.default_rng(seed)

    def reply(request: Complete) -> str:
        X = [of.shown.write(x) for x in of.space.sample(request.configurations, rng)]
        return json.dumps(X if request.configurations > 1 else X[0])

    return reply


def in_turn(*texts: Said) -> Reply:
    """A model that says these one after the other, again and again."""
    position = cycle(texts)
    return lambda request: next(position)


def nobody(request: Complete) -> Any:
    raise AssertionError("the model was asked")


# ---------------------------------------------------------------------- a method at work


class Turn(NamedTuple):
    """One trial: what was asked for, what came of it, and the question before it, if there was one."""

    request: Any
    x: Matrix
    loss: float
    prompt: str

    @property
    def source(self) -> str:
        """Who proposed it."""
        return str(self.request.source)


class Chat:
    """A method at work.

    Args:
        program: the method.
        of: its task.
        propose: answers its questions.
        loss: of configurations (n, d), shape (n,).
        fails: tells by number and source which evaluations observe nothing.
        predict, classify: answer questions of that purpose in the place of ``propose``.

    Attributes:
        questions: the requests for completions so far, each by itself.
        batches: how many of them went out together.
        turns: the trials so far.
        ended: whether the method is done.
    """

    def __init__(
        self,
        program: Steps,
        of: Task,
        propose: Reply = nobody,
        loss: Callable[[Matrix], Any] = lambda X: np.nansum(X, axis=1),
        *,
        fails: Callable[[int, str], bool] = lambda i, source: False,
        predict: Reply | None = None,
        classify: Reply | None = None,
    ) -> None:
        self.program, self.task, self.loss, self.fails = computed(program), of, loss, fails
        self.replies = {"predict": predict or propose, "classify": classify or propose}
        self.propose = propose
        self.questions: list[Complete] = []
        self.batches: list[int] = []
        self.turns: list[Turn] = []
        self.ended = False
        self._request: Any = None
        self._answer: Any = None
        self._prompt = ""

    # -- what it came to

    @property
    def trials(self) -> list[Any]:
        """What was asked for, ``Evaluate`` of one row or ``Waste``."""
        return [turn.request for turn in self.turns]

    @property
    def X(self) -> list[Matrix]:  # noqa: N802 - as matrices of configurations are called
        return [turn.x for turn in self.turns]

    @property
    def losses(self) -> list[float]:
        return [turn.loss for turn in self.turns]

    @property
    def sources(self) -> list[str]:
        return [turn.source for turn in self.turns]

    def of(self, purpose: str) -> list[Complete]:
        """What was asked with this purpose."""
        return [question for question in self.questions if question.purpose == purpose]

    def prompts(self, purpose: str = "propose") -> list[str]:
        """The last message of each of these."""
        return [question.messages[-1].content for question in self.of(purpose)]

    # -- by hand

    @property
    def request(self) -> Any:
        """What it asks for now; it is told its last answer only when that is looked at, as in the engine."""
        if self._request is None:
            self._request = self.program.send(self._answer)
            if isinstance(self._request, Evaluate):
                assert len(self._request.configurations) > 0
                assert self.task.space.legal(self._request.configurations).all()
            elif isinstance(self._request, Waste):
                assert self._request.reason
            else:
                parts = self._parts()
                self.questions += parts
                self.batches.append(len(parts))
                self._prompt = parts[0].messages[0].content
        return self._request

    @property
    def prompt(self) -> str:
        """The first message of the question that it asks now."""
        assert isinstance(self.request, Complete)
        return self.request.messages[0].content

    def say(self, text: Said, finish: str = "stop") -> Any:
        """Answer its question; what it asks for then."""
        reply = (text, finish) if isinstance(text, str) else text
        self._tell([self._completion(reply, self.request, 0)])
        return self.request

    def score(self, loss: float) -> str:
        """Say what its trial came to; the prompt that follows."""
        self._observe([loss])
        return self.prompt

    # -- by itself

    def run(self, n: int = 1) -> list[Any]:
        """The next n trials, each row for itself; all trials so far."""
        wanted, most = len(self.turns) + n, len(self.questions) + 1000 * n
        while len(self.turns) < wanted:
            try:
                request = self.request
            except StopIteration:
                self.ended = True
                break
            if isinstance(request, Waste):
                self._observe([np.nan])
            elif isinstance(request, Evaluate):
                losses = np.array(self.loss(request.configurations), dtype=float)
                at = range(len(self.turns), len(self.turns) + len(losses))
                losses[[self.fails(i, request.source) for i in at]] = np.nan
                self._observe(losses.tolist())
            else:
                assert len(self.questions) < most, "it asks for ever"
                answers = [self._completions(part) for part in self._parts()]
                self._tell(answers[0] if isinstance(request, Complete) else answers)
        return self.trials

    def _parts(self) -> list[Complete]:
        return [self._request] if isinstance(self._request, Complete) else list(self._request)

    def _tell(self, answer: Any) -> None:
        self._request, self._answer = None, answer

    def _observe(self, losses: list[float]) -> None:
        request = self.request
        if isinstance(request, Waste):
            X, parts = np.full((1, self.task.space.d), np.nan), [request]
        else:
            X = request.configurations
            parts = [replace(request, configurations=x[None, :]) for x in X]
        self.turns += [Turn(*turn, self._prompt) for turn in zip(parts, X, losses, strict=True)]
        self._prompt = ""
        self._tell(Evaluated(X, np.array(losses)))

    def _completions(self, request: Complete) -> list[Completion]:
        reply = self.replies.get(request.purpose, self.propose)
        first = reply(request)
        all_ = first if isinstance(first, list) else [first, *(reply(request) for _ in range(request.n - 1))]
        assert len(all_) == request.n
        return [self._completion(one, request, i) for i, one in enumerate(all_)]

    def _completion(self, one: Said, request: Complete, i: int) -> Completion:
        if isinstance(one, Completion):
            return one
        text, finish = one if isinstance(one, tuple) else (one, "stop")
        if not isinstance(text, str):
            text = exactly(self.task.space, text)
        where = f"{len(self.batches)}.{request.attempt}.{i}"
        return Completion(text, finish, 10, 5, 0.1, where=where)  # type: ignore[arg-type]


def play(
    program: Steps,
    of: Task,
    reply: Reply,
    n: int,
    loss: Callable[[Matrix], Any] = lambda X: np.nansum(X, axis=1),
    fails: Callable[[int, str], bool] = lambda i, source: False,
) -> Chat:
    """Up to n trials; one of several rows counts as so many, cut at n as the engine does."""
    chat = Chat(program, of, reply, loss, fails=fails)
    chat.run(n)
    program.close()
    del chat.turns[n:]
    return chat


def chat_with(
    name: str,
    of: Task,
    propose: Reply,
    *,
    predict: Reply = lambda request: "0.5",
    classify: Reply = lambda request: "1",
    loss: Callable[[int], float] = lambda i: -0.5,
    seed: int = 0,
    **parameters: Any,
) -> Chat:
    """A method of the registry at work, with losses by the number of the trial."""
    entry = OPTIMIZERS[name]
    program = entry.function(of, np.random.default_rng(seed), **entry.resolve(parameters))
    chat = Chat(program, of, propose, predict=predict, classify=classify)
    chat.loss = lambda X: [loss(len(chat.turns) + i) for i in range(len(X))]
    return chat


def engine_run(
    name: str, where: str, control: str, trials: int, initial: str = "default", **parameters: Any
) -> Run:
    """A run of the engine with a slot control in the model's place."""
    return Run(
        id=f"{name}-{where}-{control}",
        benchmark=where,
        method=name,
        optimizer=name,
        parameters=OPTIMIZERS[name].resolve(parameters),
        model=f"control:{control}",
        seed=0,
        trials=trials,
        equivalents=float(trials),
        initial=initial,
        noise="seeded",
        invalid="waste",
        workers=1,
    )
