"""Check the arrays that the tests of this folder accept: complete, with at least one block and one method."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from surrobench.arrays import Floats


def complete(values: ArrayLike, *axes: str, name: str = "losses", finite: bool = True) -> Floats:
    """Return the values as an array of floats with these axes; no axis is empty and no value is NaN.

    Args:
        values: the values that a caller passed.
        axes: what each axis stands for.
        name: the caller's name for the values.
        finite: whether infinite values are refused too. They have a rank, but no difference.

    Raises:
        ValueError: the number of axes is wrong, an axis is empty, or a value is refused. Missing values are
            for the caller to list, never for a test to average over.
    """
    array = np.asarray(values, dtype=np.float64)
    fine = np.isfinite(array) if finite else ~np.isnan(array)
    if array.ndim != len(axes) or array.size == 0 or not fine.all():
        raise ValueError(
            f"{name} must be non-empty of shape ({', '.join(axes)}) without NaN{' or infinity' * finite}, "
            f"but got shape {array.shape} with {int((~fine).sum())} of these"
        )
    return array
