"""List the papers whose published figures are recomputed: each has a file here and an entry in ``PAPERS``.

The file of a paper has a generator function that takes ``Means``. It yields one ``Table`` after the other,
each as soon as it is known. The tables show the published figures, the recomputed ones, and what the paper
does not say. The published figures come from ``results/published/PAPER``, which names their source. To add a
paper, copy ``ferreira2026.py`` (it has figures alone) or ``llambo2024.py`` (it also has runs of surrobench),
and add an entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from surrobench.errors import UnknownName

if TYPE_CHECKING:
    from surrobench.report.render.table import Table
    from surrobench.study.progress import Status


@dataclass(frozen=True)
class Means:
    """The means that a reproduction may use. No value here changes a figure.

    Attributes:
        out: the folder that keeps the runs of surrobench; None for the user's cache.
        jobs: the number of processes for these runs.
        status: counters that are kept up to date while the runs are made.
    """

    out: Path | None = None
    jobs: int = 1
    status: Status | None = None


@dataclass(frozen=True)
class Paper:
    """A paper and the function that recomputes its figures."""

    target: str
    """The generator function, as ``module:function`` below ``surrobench.reproduce``."""
    summary: str
    takes: str
    """How long the reproduction takes, in words."""
    citation: str

    @cached_property
    def function(self) -> Callable[[Means], Iterator[Table]]:
        """Return the generator function."""
        module, name = self.target.split(":")
        function: Callable[[Means], Iterator[Table]] = getattr(
            import_module(f"surrobench.reproduce.{module}"), name
        )
        return function


PAPERS: dict[str, Paper] = {
    "ferreira2026": Paper(
        "ferreira2026:reproduce",
        "its table from its trials, with the intervals and the power that it lacks",
        "seconds",
        "F. Ferreira, L. Wobbe, A. Krishnakumar, F. Hutter, A. Zela, Can LLMs Beat Classical Hyperparameter "
        "Optimization Algorithms? A Study on autoresearch, arXiv 2603.24647, 2026.",
    ),
    "llambo2024": Paper(
        "llambo2024:reproduce",
        "its 40 GPT-3.5 runs on HPOBench's MLPs beside classical methods from the same starts",
        "seconds; the first time 10 minutes",
        "T. Liu, N. Astorga, N. Seedat, M. van der Schaar, Large Language Models to Enhance Bayesian "
        "Optimization, ICLR 2024, arXiv 2402.03921.",
    ),
}


def paper(name: str) -> Paper:
    """Return the entry of a paper.

    Raises:
        UnknownName: there is no paper of that name; the message names the nearest.
    """
    if name not in PAPERS:
        raise UnknownName("paper", name, PAPERS)
    return PAPERS[name]
