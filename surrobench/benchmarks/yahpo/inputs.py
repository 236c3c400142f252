"""Encode configurations as the inputs of a scenario's network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.base import Scenario
from surrobench.benchmarks.yahpo.data import Facts
from surrobench.benchmarks.yahpo.network import Codes, Floats
from surrobench.errors import DataError
from surrobench.space.hyperparameter import Hyperparameter, Matrix, bounds_of, is_integer, is_log, values_of

MISSING = "#na#"
"""The category that stands for an inactive hyperparameter in an encoding."""


class Inputs:
    """A converter from configurations to a network's two input matrices."""

    def __init__(self, scenario: Scenario, facts: Facts, encoding: dict[str, dict[str, int]]) -> None:
        space = scenario.space
        fidelity_names = list(facts.fidelities)
        self.shape = len(facts.continuous), len(facts.categorical)
        # Numbers with a range are affine in the vector encoding, after the logarithm if they have one.
        ranged = [
            (position, space.column(name))
            for position, name in enumerate(facts.continuous)
            if name not in fidelity_names and values_of(space[name]) is None
        ]
        self.to, self.of = (
            np.array(part, dtype=np.intp) for part in (zip(*ranged, strict=True) if ranged else ((), ()))
        )
        hyperparameters = [space.hyperparameters[j] for j in self.of]
        self.log = np.array([is_log(hp) for hp in hyperparameters], dtype=bool)
        self.integer = np.array([is_integer(hp) for hp in hyperparameters], dtype=bool)
        self.bounds = np.array([bounds_of(hp) for hp in hyperparameters], dtype=np.float64).reshape(-1, 2).T
        ends = self.bounds.copy()
        ends[:, self.log] = np.log(ends[:, self.log])
        self.offset, self.scale = ends[0], ends[1] - ends[0]
        # Numbers that have a list of values are looked up.
        self.listed = [
            (position, space.column(name), _numbers(space[name], name))
            for position, name in enumerate(facts.continuous)
            if name not in fidelity_names and values_of(space[name]) is not None
        ]
        self.at = [
            (position, fidelity_names.index(name))
            for position, name in enumerate(facts.continuous)
            if name in fidelity_names
        ]
        # Categories have codes by index. The last code is the one for an inactive hyperparameter.
        self.codes: list[tuple[int, int, Codes]] = []
        self.instance: tuple[int, Codes] | None = None
        for position, name in enumerate(facts.categorical):
            if name == facts.instance:
                self.instance = position, _codes(encoding, name, list(scenario.instances), scenario)
            else:
                choices = list(map(str, values_of(space[name]) or ()))
                self.codes.append(
                    (position, space.column(name), _codes(encoding, name, [*choices, MISSING], scenario))
                )
        self.origin = space.origin

    def encode(self, X: Matrix, instances: NDArray[np.intp], fidelity: Matrix) -> tuple[Codes, Floats]:
        """Return the network's inputs for m configurations, shapes (m, categorical) and (m, continuous)."""
        n_continuous, n_categorical = self.shape
        numbers = np.empty((len(X), n_continuous))
        values = X[:, self.of] * self.scale + self.offset
        if self.log.any():
            values[:, self.log] = np.exp(values[:, self.log])
        if self.integer.any():
            values[:, self.integer] = np.rint(values[:, self.integer])
        # ConfigSpace does the same: rounding must not leave the range.
        numbers[:, self.to] = np.clip(values, *self.bounds)
        for position, j, listed in self.listed:
            active = ~np.isnan(X[:, j])
            numbers[:, position] = listed[
                np.rint(np.where(active, X[:, j] - self.origin[j], 0.0)).astype(np.intp)
            ]
            numbers[~active, position] = np.nan
        for position, which in self.at:
            numbers[:, position] = fidelity[:, which]
        categories = np.empty((len(X), n_categorical), dtype=np.int32)
        if self.instance is not None:
            position, codes = self.instance
            categories[:, position] = codes[instances]
        for position, j, codes in self.codes:
            index = np.where(np.isnan(X[:, j]), len(codes) - 1.0, X[:, j] - self.origin[j])
            categories[:, position] = codes[np.rint(index).astype(np.intp)]
        return categories, np.nan_to_num(numbers, copy=False, nan=0.0).astype(np.float32)


def _numbers(hp: Hyperparameter, name: str) -> Matrix:
    """Return the values of a list of numbers.

    Raises:
        DataError: the values are no numbers.
    """
    try:
        return np.array([float(value) for value in values_of(hp) or ()])
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name} is a numeric input of the network, but its values are no numbers."
        ) from error


def _codes(
    encoding: dict[str, dict[str, int]], name: str, categories: list[str], scenario: Scenario
) -> Codes:
    """Return the published codes of some categories.

    The code of ``#na#`` may be missing if it is never needed. It is -1 then.

    Raises:
        DataError: a category has no code.
    """
    known = encoding.get(name, {})
    unknown = [category for category in categories if category not in known and category != MISSING]
    if unknown:
        raise DataError(
            f"The encoding of {scenario.key} lacks {name} = {unknown[0]!r}.", "Its data is damaged."
        )
    return np.array([known.get(category, -1) for category in categories], dtype=np.int32)
