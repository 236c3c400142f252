"""surrobench: can a language model beat classical hyperparameter optimization? Measured offline.

For your own code, every benchmark is three lines:

    import surrobench

    where = surrobench.benchmark("yahpo/lcbench/167168")
    print(where.evaluate(where.space.decode(where.scenario.default()), fidelity={"epoch": 10}))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from surrobench.system import VERSION as __version__  # noqa: N811 - the name that others look for

if TYPE_CHECKING:
    from surrobench.benchmarks.registry import benchmark

__all__ = ["__version__", "benchmark"]


def __getattr__(name: str) -> Any:
    """Import what is public when it is used, so that ``import surrobench`` stays instant."""
    if name == "benchmark":
        from surrobench.benchmarks.registry import benchmark

        return benchmark
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
