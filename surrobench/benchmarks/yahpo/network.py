"""Evaluate the ONNX network of a YAHPO scenario in batches."""

from __future__ import annotations

import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.onnx import NoNetwork, open_session
from surrobench.errors import DataError
from surrobench.system import usable_cores, usable_threads

Floats = NDArray[np.float32]
Codes = NDArray[np.int32]
Array = TypeVar("Array", Floats, Codes)
SMALLEST_SHARE = 128
"""The number of rows that are worth a thread of their own."""
CHUNK = 512
"""The number of rows in one call of the network.

Larger batches leave the core's cache. A row costs up to half as much again with 4,096 rows at once, and up to
a third more with 64 rows.
"""
PADDINGS = (8, 16, 32, 64, 128, CHUNK)
"""The row counts that a batch may be a multiple of.

The number 1 is not among them. With odd counts some rows come out differently, but so few that a quick check
may not meet one.
"""


class Network:
    """A network in onnxruntime. It turns two matrices into one, in chunks of at most ``CHUNK`` rows.

    A chunk is computed by one thread. A second thread of onnxruntime inside a chunk gained little on an idle
    machine and cost threefold on a busy one. Several chunks are computed by as many threads as there are
    cores, or as ``OMP_NUM_THREADS`` says. That is 1 in a study, which uses the cores by running in processes.
    """

    def __init__(self, data: bytes, outputs: int) -> None:
        session = open_session(data, "YAHPO Gym")
        try:
            # The inputs are assigned by position, as in the reference: categories are first.
            self._categories, self._numbers = (part.name for part in session.get_inputs())
            self._output = session.get_outputs()[0].name
        except (ValueError, IndexError) as error:
            raise NoNetwork(str(error)) from error
        self._session: Any = session
        self._outputs = outputs
        self.padding = CHUNK

    def __call__(self, categories: Codes, numbers: Floats) -> Floats:
        """Return predictions, shape (m, outputs), from inputs of shapes (m, categorical), (m, continuous)."""
        m = len(numbers)
        out = np.empty((m, self._outputs), dtype=np.float32)

        def predict(start: int) -> None:
            part = slice(start, min(start + size, m))
            more = -(part.stop - start) % self.padding
            out[part] = self._run(_padded(categories[part], more), _padded(numbers[part], more))[
                : part.stop - start
            ]

        threads = min(usable_threads(), m // SMALLEST_SHARE)
        if threads > 1:
            share = -(-m // threads)
            size = min(CHUNK, share + -share % self.padding)
            # This thread takes its share, too. Other threads are woken only for the rest.
            parts = deque(range(0, m, size))

            def predict_all() -> None:
                with contextlib.suppress(IndexError):
                    while True:
                        predict(parts.popleft())

            others = [_helpers().submit(predict_all) for _ in range(threads - 1)]
            predict_all()
            for other in others:
                other.result()
        else:
            size = CHUNK
            for start in range(0, m, size):
                predict(start)
        return out

    def _run(self, categories: Codes, numbers: Floats) -> Floats:
        found: list[Floats] = self._session.run(
            [self._output], {self._categories: categories, self._numbers: numbers}
        )
        return found[0]

    def choose_padding(self, categories: Codes, numbers: Floats, key: str) -> None:
        """Choose the smallest padding with which a row's value does not depend on its batch.

        Args:
            categories: the rows to try it with, shape (CHUNK, categorical).
            numbers: the numbers of these rows, shape (CHUNK, continuous).
            key: the scenario, for the error.

        Raises:
            DataError: there is no such padding on this machine, or the network has other outputs than
                expected.
        """
        try:
            whole = self._run(categories, numbers)
        except Exception as error:
            raise NoNetwork(str(error)) from error
        if whole.shape != (CHUNK, self._outputs):
            raise NoNetwork(f"its output has shape {whole.shape}")
        for padding in PADDINGS:
            if self._independent(padding, categories, numbers, whole):
                self.padding = padding
                return
        raise DataError(
            f"On this machine a value of {key} depends on the batch it is asked in.",
            "Another version of onnxruntime may help.",
        )

    def _independent(self, padding: int, categories: Codes, numbers: Floats, whole: Floats) -> bool:
        multiples = {padding * k for k in (1, 2, 3, 4, 5, 6, 7, 8, 13, 21, 34) if padding * k <= CHUNK}
        for size in sorted(multiples):
            for start in {0, (CHUNK - size) // 3, CHUNK - size}:
                rows = (np.arange(size) + start) % CHUNK
                if not np.array_equal(
                    self._run(categories[rows], numbers[rows]), whole[rows], equal_nan=True
                ):
                    return False
        turned = np.roll(np.arange(CHUNK), 3)
        return np.array_equal(self._run(categories[turned], numbers[turned]), whole[turned], equal_nan=True)


@cache
def _helpers() -> ThreadPoolExecutor:
    """Return the threads that wait for chunks."""
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="surrogate")


def _padded(rows: Array, more: int) -> Array:
    """Return the rows, followed by ``more`` copies of the last one."""
    return np.concatenate([rows, np.repeat(rows[-1:], more, axis=0)]) if more else np.ascontiguousarray(rows)
