"""surrobench: can a language model beat classical hyperparameter optimization? Measured offline.

    import surrobench

    study = surrobench.run("quick")       # or surrobench.load("results/quick")
    study.rank()
    study.plot("curves")

Every benchmark answers without a study, too:

    benchmark = surrobench.benchmark("hpobench/mlp/australian")
    print(benchmark.evaluate(benchmark.space.decode(benchmark.scenario.default())))

``__all__`` is the promised interface; ``surrobench.api`` says what is promised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from surrobench.system import VERSION as __version__  # noqa: N811 - the name that others look for

if TYPE_CHECKING:
    from surrobench.api import Ranking, Study, StudyWarning, SurrobenchError, load, run
    from surrobench.benchmarks.registry import benchmark

__all__ = [
    "Ranking",
    "Study",
    "StudyWarning",
    "SurrobenchError",
    "__version__",
    "benchmark",
    "load",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import what is public when it is used, so that ``import surrobench`` stays instant."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from surrobench import api
    from surrobench.benchmarks.registry import benchmark

    return benchmark if name == "benchmark" else getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
