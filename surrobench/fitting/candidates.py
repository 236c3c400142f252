"""Keep the models that a surrogate may be, from scikit-learn.

Forests follow Eggensperger et al., "Efficient benchmarking of hyperparameter optimizers via surrogates"
(AAAI 2015). The kernel of the Gaussian process is a Matérn kernel with a length for each feature, as in
Snoek et al., "Practical Bayesian optimization" (NeurIPS 2012).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrobench.seeding import stream
from surrobench.space.hyperparameter import Matrix

MOST_OF_A_PROCESS = 1000
"""The number of rows above which no Gaussian process is fitted: its time grows with the third power."""
ROWS_OF_A_KERNEL = 150
"""The number of rows that the lengths of a kernel are fitted to, for the same reason."""
TREES = 60

Candidate = Callable[[int, int], Any]
"""Makes a model that is not fitted from the number of features and a seed."""


def candidates(rows: int) -> dict[str, Candidate]:
    """Return the candidates for a number of rows, by name."""
    found: dict[str, Candidate] = {
        "random forest": _forest("RandomForestRegressor", 1),
        "extra trees": _forest("ExtraTreesRegressor", 1),
        "extra trees, leaves of 3": _forest("ExtraTreesRegressor", 3),
    }
    if rows <= MOST_OF_A_PROCESS:
        found["Gaussian process"] = _process
    return found


def _forest(kind: str, leaf: int) -> Candidate:
    def make(features: int, seed: int) -> Any:
        from sklearn import ensemble

        # By default each split sees all features. With two thirds the trees differ more.
        return getattr(ensemble, kind)(
            TREES, min_samples_leaf=leaf, max_features=2 / 3, random_state=seed, n_jobs=1
        )

    return make


def _process(features: int, seed: int) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    lengths = Matern(np.full(features, 1.0), (0.05, 50.0), nu=2.5)
    kernel = ConstantKernel(1.0, (1e-2, 1e4)) * lengths + WhiteKernel(0.05, (1e-6, 1.0))
    return GaussianProcessRegressor(kernel, random_state=seed)


class Fit:
    """A candidate that was fitted to standardised values, and predicts in their own unit.

    Attributes:
        model: the fitted model, of (y - centre) / scale.
        centre, scale: of the values that it was fitted to.
    """

    def __init__(self, model: Any, features: Matrix, y: NDArray[np.float64]) -> None:
        self.centre, self.scale = float(np.mean(y)), float(np.std(y)) or 1.0
        standardised = (y - self.centre) / self.scale
        with warnings.catch_warnings():
            # A length at its bound is a feature that does not matter. Cross-validation judges the rest.
            warnings.simplefilter("ignore")
            self.model = _with_kernel(model, features, standardised)
            self.model.fit(features, standardised)

    def __call__(self, features: Matrix) -> NDArray[np.float64]:
        """Return predictions, shape (m,), of features of shape (m, number of features)."""
        return np.asarray(self.model.predict(features)) * self.scale + self.centre


def _with_kernel(model: Any, features: Matrix, y: NDArray[np.float64]) -> Any:
    """Return a Gaussian process whose kernel is fitted to some of the rows; other models as they are."""
    if len(y) <= ROWS_OF_A_KERNEL or getattr(model, "optimizer", None) is None:
        return model
    rows = stream("kernel", len(y)).permutation(len(y))[:ROWS_OF_A_KERNEL]
    model.fit(features[rows], y[rows])
    return model.set_params(kernel=model.kernel_, optimizer=None)


def refitted(fit: Fit, features: Matrix, y: NDArray[np.float64], seed: int) -> Fit:
    """Return a fit of the same model to other rows; the kernel of a Gaussian process stays as it is."""
    from sklearn.base import clone

    model = clone(fit.model)
    if hasattr(fit.model, "kernel_"):
        model.set_params(kernel=fit.model.kernel_, optimizer=None)
    model.set_params(random_state=seed)
    return Fit(model, features, y)
