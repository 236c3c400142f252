"""Average instances that are not independent: one data set in several scenarios is one cluster and one block.

A data set that two learners are tuned on favours, or does not favour, the same methods in both. Counting it
as two blocks would count the evidence twice. Where the instances are averaged within the cluster first, each
block is a data set again, and every test of this folder holds as it is. The averaged values must be
comparable across scenarios, as quantile regret is and a loss is not.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from surrobench.arrays import Floats

Label = TypeVar("Label", bound=Hashable)


def average_within(values: ArrayLike, labels: Sequence[Label]) -> tuple[Floats, tuple[Label, ...]]:
    """Return the mean of each cluster of instances.

    Args:
        values: shape (n, ...), with the n instances on the first axis.
        labels: n labels, the cluster of each instance.

    Returns:
        Shape (c, ...), one block for each of c clusters, and their labels, both in the order in which the
        clusters first occur. A cluster of one is unchanged.

    Raises:
        ValueError: the numbers of instances and of labels differ, or there are no instances.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0 or len(values) != len(labels) or not len(labels):
        raise ValueError(
            f"values and labels must have the same instances, one or more, but got shape {values.shape} and "
            f"{len(labels)} labels"
        )
    members: dict[Label, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    # The values are summed in sorted order, so that the order of instances decides no last digit and no tie.
    means = [np.sort(values[of], axis=0).mean(axis=0) for of in members.values()]
    return np.stack(means), tuple(members)
