"""llinbo: a language model in the loop of Bayesian optimization, which keeps it in check.

Chang et al., arXiv 2505.14756 (``LLM_agent_HPT.py`` and ``helper_func.py`` of LLM-in-the-Loop-BO).
"""

from __future__ import annotations

from typing import Any, Literal

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.llm.gp_ucb import GpUcb
from surrobench.optimizers.llm.history import History
from surrobench.optimizers.llm.propose import propose, propose_several, trial
from surrobench.protocol.requests import Evaluate, Message, Request
from surrobench.space.hyperparameter import Matrix

PROMPTS = "llinbo"
Mode = Literal["transient", "justify", "constrained"]


def llinbo(
    task: Task,
    rng: Generator,
    *,
    mode: Mode = "transient",
    start: int | None = None,
    temperature: float = 1.0,
    max_tokens: int = 2000,
) -> Steps:
    """The model proposes; a Gaussian process (GP-UCB, ``GpUcb``) takes over, overrules it, or takes its hint.

    First the model names as many configurations as there are hyperparameters, in one reply (granted trials
    count towards them; ``start`` = k asks for k in any case). Of the T trials that are left then, number t
    (from 0) is, by ``mode``:

    - ``transient``: GP-UCB's with probability min(t^2 / T, 1), else the model's (algorithm 1);
    - ``justify``: the model's, unless UCB(GP-UCB's point) > UCB(the model's point) + v / (t + 1), where v is
      the largest posterior variance when the first point of the model's is checked (algorithm 2). That is
      after the first configurations, also where replies before it are invalid, which are no observations
      (the fit has other starts then); only if all of these failed it is after the first that did not;
    - ``constrained``: floor(10^4 / (t + 1)^2) draws of the posterior at the model's point; those above the
      largest posterior mean are kept, each as if it had been observed there, and the point of the largest
      upper bound of the processes so conditioned is evaluated (source ``gp-constrained``). Where none is
      kept it is GP-UCB's (algorithm 3). The model's own point is never evaluated but by chance.

    beta_t = 2 ln(60 (t + 1) d pi^2). The prompt is in the published order, the history shuffled. A model's
    point that failed, or GP-UCB's, counts as the worst value seen. While nothing was observed the process is
    flat, and its point is a random one (source ``random``); the model's is then never overruled.

    Differences, each on purpose. The source calls the objective once more for every point of the model's, to
    see whether it is valid, and counts no trial for it: here a reply that is no configuration goes by the
    suite's policy (there it asks again without end). It tells the model that the ideal value is 0, and as the
    iteration the length of the history's text: here no best value is told, and the number is right. In
    ``constrained`` the source fits a process anew for each draw and multiplies the deviation by beta_t,
    elsewhere by its root: here the fitted process is conditioned in closed form, and it is always the root.
    The temperature, unset in the source, is its server's default. Its 50 tokens for a bare vector would cut
    off a JSON object, so it is the 2000 that it grants the first configurations. There is no system message.
    """
    sampling = {"temperature": temperature, "max_tokens": max_tokens}
    past = History(task)
    k = max(task.space.d - len(task.initial.losses), 0) if start is None else start
    k = min(k, task.horizon)
    if k:
        prompt = task.prompt(PROMPTS, "start", k=k)
        proposals = yield from propose_several(task, past, (Message("user", prompt),), sampling, k)
        for proposal in proposals:
            past.add((yield trial(proposal)))
    check = _Check(task, rng, mode)
    T, t = max(task.horizon - k, 1), 0
    while True:
        request: Request
        if mode == "transient" and rng.random() < min(t * t / T, 1):
            request = check.by_the_process(past, t)
        else:
            prompt = _next(task, rng, past, t, T)
            proposal = yield from propose(task, past, (Message("user", prompt),), sampling)
            request = trial(proposal)
            if proposal.configuration is not None:
                request = check.instead(past, t, proposal.configuration) or request
        past.add((yield request))
        t += 1


class _Check:
    """What the process says to a proposal of the model's."""

    DRAWS = 10_000  # of the posterior, in the first iteration

    def __init__(self, task: Task, rng: Generator, mode: Mode) -> None:
        self._task, self._rng, self._mode = task, rng, mode
        self._first_variance: float | None = None

    def by_the_process(self, past: History, t: int) -> Evaluate:
        """The trial that is GP-UCB's."""
        if past.best is None:
            return Evaluate(self._task.space.sample(1, self._rng), source="random")
        with self._task.library.running(), _one_thread():
            x = GpUcb(self._task, self._rng, past, t).point()
        return Evaluate(x[None, :], source="gp")

    def instead(self, past: History, t: int, x: Matrix) -> Evaluate | None:
        """The trial that takes the place of the model's proposal ``x``, shape (d,); None: it stands."""
        if self._mode == "transient" or past.best is None:
            return None
        with self._task.library.running(), _one_thread():
            process = GpUcb(self._task, self._rng, past, t)
            if self._mode == "justify":
                return self._overruled(process, t, x)
            draws = self.DRAWS // (t + 1) ** 2
            hinted = process.hinted(x, draws) if draws > 1 else None
            if hinted is not None:
                return Evaluate(hinted[None, :], source="gp-constrained")
            return Evaluate(process.point()[None, :], source="gp")

    def _overruled(self, process: GpUcb, t: int, x: Matrix) -> Evaluate | None:
        if self._first_variance is None:
            self._first_variance = process.largest_variance()
        own = process.point()
        if process.upper(own) > process.upper(x) + self._first_variance / (t + 1):
            return Evaluate(own[None, :], source="gp")
        return None


def _one_thread() -> Any:
    """More are slower with matrices so small, and may round differently."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def _next(task: Task, rng: Generator, past: History, t: int, T: int) -> str:
    lines = [task.prompt(PROMPTS, "trial", **past.shown(i)) for i in rng.permutation(len(past))]
    return task.prompt(PROMPTS, "next", lines=lines, iteration=t + 1, iterations=T)
