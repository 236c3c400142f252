"""What the tests of this folder accept: complete arrays, with at least one block and one method."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def complete(values: ArrayLike, *axes: str, name: str = "losses") -> Floats:
    """The values as an array of floats with these axes, none of them empty, no value NaN or infinite.

    Args:
        values: what a caller passed.
        axes: what each axis stands for.
        name: what the caller calls them.

    Raises:
        ValueError: another number of axes, or an empty one, or a value is not finite. Missing cells are for
            the caller to list, never for a test to average over.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != len(axes) or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(
            f"{name} must be non-empty of shape ({', '.join(axes)}), without NaN and finite, but got shape "
            f"{array.shape} with {int(np.isnan(array).sum())} NaN"
        )
    return array
