"""Do one thing in a fresh process and print the peak memory in MB: ``python -m tests.bench.peak WHAT``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.bench.timing import peak_mb


def main(what: str, folder: str = "") -> None:
    if what == "polars":
        from tests.bench.by_hand import polars_incumbents

        polars_incumbents(Path(folder))
    elif what in ("rank", "every_curve"):
        from tests.bench import many

        getattr(many, what)(Path(folder))
    elif what == "journal":
        from tests.bench.journals import resume

        resume(Path(folder))
    elif what == "ranking":
        from surrobench.report.data.study_data import load_study
        from surrobench.results.folder import Results

        load_study(Results(Path(folder)))
    else:
        from surrobench.engine.loop import drive
        from surrobench.plan.planning import plan
        from tests.bench.cases import make_suite, study_losses

        # ``folder`` is a pattern of benchmarks here: 60 seeds on the 34 instances of lcbench.
        suite = make_suite(what, folder, seeds=60) if folder else make_suite(what, seeds=250)
        if what == "random":
            study_losses(suite)
        else:
            outcomes: list[object] = []
            drive(plan(suite), outcomes.append)
    print(peak_mb())


if __name__ == "__main__":
    main(*sys.argv[1:])
