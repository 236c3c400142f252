"""Evaluate one ONNX model of a fitted surrogate in batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.onnx import NoNetwork, open_session
from surrobench.errors import DataError, in_one_line
from surrobench.space.hyperparameter import Matrix


class Model:
    """A regression model in onnxruntime: features in, a number for each row out, in double precision.

    Raises:
        DataError: the content is no such model.
    """

    def __init__(self, content: bytes, name: str) -> None:
        try:
            session = open_session(content, "A fitted surrogate")
            [self._input] = (part.name for part in session.get_inputs())
            [self._output] = (part.name for part in session.get_outputs())
        except (NoNetwork, ValueError) as error:
            raise DataError(f"{name} is no model: {in_one_line(error)}.", "Fit it again.") from None
        self._session: Any = session

    def __call__(self, features: Matrix) -> NDArray[np.float64]:
        """Return the predictions, shape (m,), of features of shape (m, number of features)."""
        found: list[Any] = self._session.run([self._output], {self._input: features})
        return np.asarray(found[0], dtype=np.float64).reshape(-1)
