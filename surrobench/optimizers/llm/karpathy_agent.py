"""karpathy-agent: a language model sees the space and the history and proposes the next configuration.

This is the fixed-space HPO agent of Ferreira et al., arXiv 2603.24647 (``karpathy_agent_hps_backend.py`` of
autoresearch-automl), after Karpathy's autoresearch. Each trial has one chat. The agent has no memory except
the history that is shown.
"""

from __future__ import annotations

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.llm.history import History
from surrobench.optimizers.llm.propose import propose, trial
from surrobench.protocol.requests import Message

PROMPTS = "karpathy-agent"


def karpathy_agent(
    task: Task, rng: Generator, *, history: int = 20, temperature: float = 0.7, max_tokens: int = 2048
) -> Steps:
    """Ask for one proposal per trial.

    The prompt shows the space, the last ``history`` trials in order, the best one, and the question.

    The published defaults are temperature 0.7, 2048 tokens and the last 20 trials. The prompt is append-only
    until the history is full, so that a server's prefix cache serves all but the newest trial.

    These differences are on purpose:

    - The space is shown without the default configuration. The published prompt prints it, which is a hidden
      warm start.
    - The incumbent is repeated only when it has left the history shown.
    - Numbers have few digits, see ``llm.shown_values``.
    - A reply that is no configuration goes by the suite's policy instead of a uniform random draw. ``clip``
      is the published rule for values out of range and missing ones.
    """
    del rng  # all its randomness is the model's
    sampling = {"temperature": temperature, "max_tokens": max_tokens}
    head = task.prompt(PROMPTS, "head")
    past = History(task)

    def line(i: int) -> str:
        return task.prompt(PROMPTS, "trial", **past.shown(i))

    while True:
        lines = [line(i) for i in past.last(history)]
        best = "" if past.best is None else line(past.best)
        question = task.prompt(PROMPTS, "question", best="" if best in lines else best)
        prompt = "\n".join([head, *lines, "", question])
        proposal = yield from propose(task, past, (Message("user", prompt),), sampling)
        past.add((yield trial(proposal)))
