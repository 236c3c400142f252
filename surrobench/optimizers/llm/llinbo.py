"""llinbo: a language model in the loop of Bayesian optimization, which keeps the model in check.

The source is Chang et al., arXiv 2505.14756 (``LLM_agent_HPT.py`` and ``helper_func.py`` of
LLM-in-the-Loop-BO).
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
    """Let the model propose, and let a Gaussian process take over, overrule it, or take its hint.

    The process is GP-UCB (``GpUcb``). First the model names as many configurations as there are
    hyperparameters, in one reply. Granted trials count towards them. ``start`` = k asks for k in any case. T
    trials are then left, and ``mode`` decides who proposes number t of them (from 0):

    - ``transient``: the trial is GP-UCB's with probability min(t^2 / T, 1), else the model's (algorithm 1).
    - ``justify``: the trial is the model's, unless UCB(GP-UCB's point) > UCB(the model's point) + v / (t + 1)
      (algorithm 2). The value v is the largest posterior variance when the first point of the model is
      checked. The first check comes after the first configurations. This also holds where replies before it
      are invalid, because these are no observations, although the fit has other starts then. Only if all of
      the first configurations failed does the check come after the first that did not fail.
    - ``constrained``: floor(10^4 / (t + 1)^2) values of the posterior are drawn at the model's point. The
      values above the largest posterior mean are kept, each as if it had been observed there. The point of
      the largest upper bound of the processes so conditioned is evaluated (source ``gp-constrained``). Where
      no value is kept, the trial is GP-UCB's (algorithm 3). The model's own point is never evaluated except
      by chance.

    The coefficient is beta_t = 2 ln(60 (t + 1) d pi^2). The prompt is in the published order, with the
    history shuffled. A point of the model or of GP-UCB that failed counts as the worst value seen. While
    nothing was observed the process is flat, and its point is a random one (source ``random``). The model's
    point is then never overruled.

    These differences are on purpose:

    - The source calls the objective once more for every point of the model, to see whether it is valid. It
      counts no trial for that, and asks again without end. Here a reply that is no configuration goes by the
      suite's policy.
    - The source tells the model that the ideal value is 0. Here no best value is told.
    - The source tells the length of the history's text as the iteration. Here the number is right.
    - In ``constrained``, the source fits a process anew for each draw. Here the fitted process is conditioned
      in closed form.
    - In ``constrained``, the source multiplies the deviation by beta_t. Elsewhere, and here, it is the root.
    - The temperature is unset in the source. Here it is the default of the source's server.
    - The source's 50 tokens for a bare vector would cut off a JSON object. Here the limit is the 2000 that it
      grants the first configurations.
    - There is no system message.
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
    """The check that the process makes of a proposal of the model."""

    DRAWS = 10_000  # the number of posterior draws in the first iteration

    def __init__(self, task: Task, rng: Generator, mode: Mode) -> None:
        self._task, self._rng, self._mode = task, rng, mode
        self._first_variance: float | None = None

    def by_the_process(self, past: History, t: int) -> Evaluate:
        """Return the trial that is GP-UCB's."""
        if past.best is None:
            return Evaluate(self._task.space.sample(1, self._rng), source="random")
        with self._task.library.running(), _one_thread():
            x = GpUcb(self._task, self._rng, past, t).point()
        return Evaluate(x[None, :], source="gp")

    def instead(self, past: History, t: int, x: Matrix) -> Evaluate | None:
        """Return the trial that takes the place of the model's proposal ``x``, shape (d,).

        Return None where the proposal stands.
        """
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
    """Limit libraries to one thread.

    More threads are slower with matrices so small, and may round differently.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def _next(task: Task, rng: Generator, past: History, t: int, T: int) -> str:
    lines = [task.prompt(PROMPTS, "trial", **past.shown(i)) for i in rng.permutation(len(past))]
    return task.prompt(PROMPTS, "next", lines=lines, iteration=t + 1, iterations=T)
