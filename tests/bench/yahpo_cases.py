"""The measurements on YAHPO Gym's surrogates, beside onnxruntime itself and the reference package."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np

from surrobench.benchmarks.registry import scenario
from surrobench.benchmarks.yahpo.data import require_folder
from surrobench.benchmarks.yahpo.family import available
from surrobench.benchmarks.yahpo.network import _Network
from surrobench.benchmarks.yahpo.surrogate import Surrogate
from surrobench.benchmarks.yahpo.verify import _Reference, compare, reference_environment
from surrobench.engine.loop import drive
from surrobench.errors import DataError
from surrobench.plan.planning import plan
from surrobench.study.options import Options
from surrobench.study.session import run_study
from tests.bench.timing import side_by_side

BATCH = 512
TRIALS = 1000


@contextmanager
def reference() -> Iterator[_Reference | None]:
    """The reference package at work; None where it cannot be had."""
    try:
        python = reference_environment(lambda _: None)
    except DataError:
        yield None
        return
    with _Reference(python, require_folder()) as opened:
        yield opened


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Seconds of every call of onnxruntime in the block."""
    calls: list[float] = []
    run = _Network._run

    def timed(network: Any, *inputs: Any) -> Any:
        start = time.perf_counter()
        found = run(network, *inputs)
        calls.append(time.perf_counter() - start)
        return found

    with mock.patch.object(_Network, "_run", timed):
        yield calls


def surrogates() -> Iterator[Any]:
    """Batches of 512 against bare onnxruntime on the same arrays, and against the reference's calls."""
    from tests.bench.cases import Row, limited, microseconds

    with reference() as package:
        for name in ("lcbench", "rbv2_xgboost"):
            opened = scenario(f"yahpo/{name}")
            assert isinstance(opened, Surrogate)
            rng = np.random.default_rng(0)
            X, at = opened.space.sample(BATCH, rng), np.tile(opened.full_fidelity, (BATCH, 1))
            where = rng.integers(len(opened.instances), size=BATCH)
            inputs, network = opened._inputs.encode(X, where, at), opened._network
            pair = side_by_side(
                lambda opened=opened, X=X, where=where: [opened.evaluate(X, where, None) for _ in range(5)],
                lambda inputs=inputs, network=network: [network._run(*inputs) for _ in range(5)],
                repeats=21,
            )
            yield limited(f"{name}, batches of {BATCH}, against bare onnxruntime (one thread)", pair, 1.25)
            if package is None:
                yield Row(f"  {name} against yahpo-gym", "", "not installed", "", "", None)
                continue
            found = compare(opened, package, BATCH).seconds
            for call, limit in (("single_checked", 25), ("list_checked", 8), ("list_unchecked", None)):
                faster = found[call] / found["ours"]
                counts = limit is not None and name == "lcbench"
                yield Row(
                    f"  a configuration, against yahpo-gym's {call.replace('_', ' call, ')}",
                    microseconds(found["ours"]),
                    microseconds(found[call]),
                    f"{faster:.1f} x faster",
                    f">= {limit} x" if counts else "",
                    faster >= limit if counts and limit else None,
                )


def surrogate_search() -> Iterator[Any]:
    """A thousand random trials through the whole engine, stored, against the loop a user writes by hand."""
    from tests.bench.cases import Row, make_suite

    where = scenario("yahpo/lcbench")
    suite = make_suite("random", "yahpo/lcbench/167168", seeds=1).model_copy(update={"trials": TRIALS})
    question = {"scenario": "lcbench", "configurations": [], "trials": TRIALS, "instance": "167168"}
    question |= {"fidelity": {"epoch": 52}, "target": where.target, "sign": -1}
    with reference() as package:
        if package is None:
            return
        pairs = []
        for _ in range(4):
            theirs = package.ask(**question)["seconds"]
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                run_study(suite, "", Options(Path(folder)))
                pairs.append((time.perf_counter() - start, theirs))
    # The first of each loads the network and what else there is: after imports is what is compared.
    ours, by_hand = (median(column) for column in zip(*pairs[1:], strict=True))
    faster = median(theirs / mine for mine, theirs in pairs[1:])
    yield Row(
        f"{TRIALS:,} random trials on lcbench, stored, against a loop with yahpo-gym",
        f"{ours:.3f} s",
        f"{by_hand:.3f} s",
        f"{faster:.1f} x faster",
        ">= 6 x",
        faster >= 6,
    )


def surrogate_runs() -> Iterator[Any]:
    """2,040 runs of random search on lcbench: their memory, and their share inside onnxruntime."""
    from tests.bench.cases import Row, make_suite, peak_of

    for what, method, limit in (("a matrix", "random", 0.8), ("a trial", "stepping", 0.4)):
        runs = plan(make_suite(method, "yahpo/lcbench/*", seeds=60))
        # As in a study: one thread, so that the calls' times add up.
        with stopwatch() as calls, mock.patch.dict(os.environ, OMP_NUM_THREADS="1"):
            start = time.perf_counter()
            drive(runs, lambda outcome: None)
            seconds = time.perf_counter() - start
        share = sum(calls) / seconds
        yield Row(
            f"{len(runs):,} runs x 100 trials on lcbench, {what} per request",
            f"{seconds:.2f} s",
            f"onnxruntime {sum(calls):.2f} s",
            f"{share:.0%} inside",
            f">= {limit:.0%}",
            share >= limit,
        )
        peak = peak_of(method, "yahpo/lcbench/*")
        yield Row("  the same, peak memory of a process", f"{peak:.0f} MB", "", "", "< 1,000 MB", peak < 1000)


def cases() -> list[Any]:
    """The measurements that can be made here."""
    if not {"lcbench", "rbv2_xgboost"} <= set(available()):
        return []
    return [surrogates, surrogate_search, surrogate_runs]
