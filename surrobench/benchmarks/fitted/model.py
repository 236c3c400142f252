"""Evaluate one ONNX model of a fitted surrogate in batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrobench.errors import DataError, in_one_line
from surrobench.libraries import ONNXRUNTIME
from surrobench.space.hyperparameter import Matrix


class Model:
    """A regression model in onnxruntime: features in, a number for each row out, in double precision.

    Raises:
        DataError: the content is no such model.
    """

    def __init__(self, content: bytes, name: str) -> None:
        ONNXRUNTIME.require("A fitted surrogate")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # only errors are logged
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            [self._input] = (part.name for part in session.get_inputs())
            [self._output] = (part.name for part in session.get_outputs())
        except Exception as error:  # onnxruntime's own errors share no base class
            raise DataError(f"{name} is no model: {in_one_line(error)}.", "Fit it again.") from None
        self._session: Any = session

    def __call__(self, features: Matrix) -> NDArray[np.float64]:
        """Return the predictions, shape (m,), of features of shape (m, number of features)."""
        found: list[Any] = self._session.run([self._output], {self._input: features})
        return np.asarray(found[0], dtype=np.float64).reshape(-1)
