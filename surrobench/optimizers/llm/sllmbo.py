"""sllmbo: a coin decides for every trial whether a language model or TPE proposes it.

This is the LLM-TPE sampler of SLLMBO (Mahammadli & Ertekin, arXiv 2410.20302), after
``src/optimizers/optuna_sampler.py`` of KananMahammadli/SLLMBO.
"""

from __future__ import annotations

from typing import Literal

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.tpe import tpe_study
from surrobench.optimizers.llm.history import History
from surrobench.optimizers.llm.propose import propose, trial
from surrobench.protocol.requests import Evaluate, Evaluated, Message

PROMPTS = "sllmbo"


def sllmbo(
    task: Task,
    rng: Generator,
    *,
    share: float = 0.5,
    startup: int = 10,
    candidates: int = 24,
    summary: int = 10,
    patience: int = 0,
    temperature: float = 0.7,
    max_tokens: int = 2048,
) -> Steps:
    """Let the model propose the first trial, and each later one with probability ``share``; else TPE does.

    The TPE part is Optuna's with its defaults (see ``tpe.tpe``; ``startup`` and ``candidates`` are as there).
    TPE is told all trials, the granted ones among them. The model is asked in one chat. The system message
    holds task and space. Each of the model's turns then says what has been tried since its last one, by the
    model and by TPE, the best trial so far, and the question. The model's answers stand in the chat as they
    were evaluated. A reply that is no configuration leaves no trace there and goes by the suite's policy. In
    the original, an unavailable model gave values in the middle of their ranges.

    The published method tosses a coin with probability 0.5. It left temperature and number of tokens unset.
    The temperature 0.7 is what LangChain's ``ChatOpenAI``, which it called, then sent. The limit of 2048
    tokens is set here, as for ``karpathy-agent``. These differences are on purpose:

    - This is the loop as the paper describes it. In the code, Optuna tosses the coin for each hyperparameter
      by itself whenever its relative search space is empty (at first, and after TPE's turns). Half of the
      trials therefore mix both sources. The code also never calls the sampler's ``tell``, so the chat is told
      of no values other than the best. Here a trial has one source, and the chat is told all values.
    - The space is described once, in the system message, and so the chat is append-only. In the original each
      question repeats it. TPE's turns are reported with the next question instead of as words of the model,
      since many chat formats want user and assistant to alternate.
    - ``summary``: after so many trials the chat begins anew with a list of the best ``summary`` trials (and
      of those that failed, if there is room). Its length is therefore bounded. The repository does this,
      every 10 iterations, in its loops without TPE. Its sampler keeps the whole chat, which is ``summary =
      0``.
    - ``patience`` ends the run after so many trials that did not improve on the best. The published value is
      15. It is off (0) here, since a run that ends early is compared on fewer trials than the others. Such a
      run is ``exhausted``.
    - The TPE is that of Optuna 5, which is multivariate by default.
    """
    sampling = {"temperature": temperature, "max_tokens": max_tokens}
    with task.library.running():
        study = tpe_study(task, rng, startup=startup, candidates=candidates)
    past = History(task)
    chat = Chat(task, past, summary)
    stale, first = 0, True
    while not patience or stale < patience:
        known = len(past)
        if first or rng.random() < share:
            proposal = yield from propose(task, past, chat.question(), sampling)
            answer: Evaluated = yield trial(proposal)
            past.add(answer)
            with task.library.running():
                study.add(answer.configurations, answer.losses)
            if len(past) > known:
                chat.answered()
        else:
            configurations = yield from study.ask()
            answer = yield Evaluate(configurations, source="tpe")
            past.add(answer)
            with task.library.running():
                study.tell(answer.configurations, answer.losses)
            chat.told()
        first = False
        improved = past.best is not None and past.best >= known
        stale = 0 if improved else stale + 1


class Chat:
    """The messages that the model remembers, which only grow until a summary takes their place."""

    def __init__(self, task: Task, past: History, summary: int) -> None:
        self._task, self._past, self._summary = task, past, summary
        self._system = Message("system", task.prompt(PROMPTS, "system"))
        self._turns: list[Message] = []
        self._news: list[str] = []
        self._begun = len(past)  # the number of trials when the chat was begun (anew)

    def question(self) -> tuple[Message, ...]:
        """Return the chat with a question at its end, which becomes part of the chat when it is answered."""
        if self._summary and len(self._past) - self._begun >= self._summary:
            self._turns, self._news, self._begun = [], [], len(self._past)
        self._asked = Message("user", self._question())
        return (self._system, *self._turns, self._asked)

    def answered(self) -> None:
        """Record the newest trial as the answer to the question."""
        newest = len(self._past) - 1
        self._turns += [self._asked, Message("assistant", self._past.configuration(newest))]
        self._news = [self._line(newest, "you")]

    def told(self) -> None:
        """Record the newest trial as one of TPE's."""
        if self._turns:  # else the summary that opens the chat will have it
            self._news.append(self._line(len(self._past) - 1, "tpe"))

    def _question(self) -> str:
        past, opening = self._past, not self._turns
        order = past.best_first()
        order += [i for i in range(len(past)) if i not in order]
        best = "" if opening or past.best is None else self._line(past.best)
        shown = order[: self._summary or len(order)] if opening else []
        summary = [self._line(i) for i in shown]
        return self._task.prompt(PROMPTS, "turn", summary=summary, n=len(past), news=self._news, best=best)

    def _line(self, i: int, who: Literal["", "you", "tpe"] = "") -> str:
        return self._task.prompt(PROMPTS, "trial", **self._past.shown(i), who=who)
