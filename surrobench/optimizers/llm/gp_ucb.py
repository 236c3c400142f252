"""GP-UCB: Srinivas et al., ICML 2010, on scikit-learn's Gaussian process.

``llinbo`` models the objective with it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from surrobench.optimizers.base import Task
from surrobench.optimizers.classical.failures import WorstSeen
from surrobench.optimizers.llm.history import History
from surrobench.space.hyperparameter import Matrix

Acquisition = Callable[[Matrix], NDArray[np.float64]]
"""A function to maximise, from features, shape (m, features), to values, shape (m,)."""


class GpUcb:
    """A Gaussian process of a run's trials, for one decision.

    The kernel is Matern-5/2 with a length scale per feature, times a variance, with noise. Its parameters are
    those of the largest likelihood of two starts. Numeric hyperparameters are unit-cube coordinates, a
    category has a feature for each of its values, and an inactive hyperparameter stands in the middle. The
    values of the process are gains, which are losses standardised and negated. A failed evaluation counts as
    the worst seen. All values in this class are in those units.

    Acquisitions are maximised over 1,000 draws from the space's prior and the trials themselves. They are
    then maximised four times among 300 neighbours of the ten best, in ever smaller steps. The source's 20
    gradient searches need a space without categories.
    """

    RANDOM, BEST, NEIGHBOURS, STEPS = 1000, 10, 30, (0.2, 0.1, 0.05, 0.02)

    def __init__(self, task: Task, rng: Generator, past: History, t: int) -> None:
        """Fit the process.

        Args:
            task: the task.
            rng: the generator for the starts of the fit and for the searches.
            past: the trials, at least one of which was observed.
            t: the number of the iteration, from 0, for beta_t = 2 ln(60 (t + 1) d pi^2).
        """
        self._space, self._rng = task.space, rng
        self._trials = np.array(past.configurations)
        worst, losses = WorstSeen(), np.array(past.losses)
        worst.see(losses)
        losses = worst.fill(losses)
        deviation = losses.std() or 1.0
        searched = max(int((self._space.levels != 1).sum()), 1)
        self._root_beta = math.sqrt(2 * math.log(60 * (t + 1) * searched * math.pi**2))
        self._fit(self._features(self._trials), -(losses - losses.mean()) / deviation)

    def _fit(self, F: Matrix, gains: NDArray[np.float64]) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        scales = Matern(np.full(F.shape[1], 0.5), (0.05, 10.0), nu=2.5)
        kernel = ConstantKernel(1.0, (0.05, 20.0)) * scales + WhiteKernel(1e-3, (1e-6, 1.0))
        seed = int(self._rng.integers(2**32))
        fitted = GaussianProcessRegressor(kernel, n_restarts_optimizer=1, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length scale ends at its bound
            fitted.fit(F, gains)
        self._kernel, self._noise = fitted.kernel_.k1, float(fitted.kernel_.k2.noise_level)
        self._F, self._L, self._alpha = F, fitted.L_, fitted.alpha_

    # ------------------------------------------------------------------ the posterior

    def upper(self, x: Matrix) -> float:
        """Return the UCB of one configuration, shape (d,): mean + sqrt(beta_t) deviation."""
        return float(self._upper(self._features(x[None, :]))[0])

    def largest_variance(self) -> float:
        """Return the largest variance of 1,000 draws from the prior.

        The source's grid of 10^d points is too large for d > 6.
        """
        X = self._space.sample(self.RANDOM, self._rng)
        return float(self._posterior(self._features(X))[1].max())

    def _posterior(self, F: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64], Matrix]:
        """Return the posterior of features.

        Returns:
            mean: shape (m,).
            variance: without noise, shape (m,).
            V: L^-1 k(trials, F), shape (n, m).
        """
        k = self._kernel(self._F, F)
        V = solve_triangular(self._L, k, lower=True)
        variance = np.maximum(self._kernel.diag(F) - np.sum(V * V, axis=0), 1e-12)
        return k.T @ self._alpha, variance, V

    def _upper(self, F: Matrix) -> NDArray[np.float64]:
        mean, variance, _ = self._posterior(F)
        return np.asarray(mean + self._root_beta * np.sqrt(variance))

    # ------------------------------------------------------------------ what to evaluate

    def point(self) -> Matrix:
        """Return the configuration of the largest UCB, shape (d,)."""
        return self._largest(self._upper)[0]

    def hinted(self, x: Matrix, draws: int) -> Matrix | None:
        """Return the configuration of the largest bound, given that ``x`` is as good as hoped for.

        Of ``draws`` values of the posterior at ``x``, those above the largest posterior mean are kept. The
        process is conditioned on each in turn. The means so found have a mean and a variance. The bound is
        mean + sqrt(beta_t) sqrt(variance of the conditioned process + variance of the means).

        Returns:
            The configuration, shape (d,), or None where no draw is kept.
        """
        f = self._features(x[None, :])
        [mean_x], [variance_x], V_x = self._posterior(f)
        drawn = mean_x + math.sqrt(variance_x) * self._rng.standard_normal(draws)
        kept = drawn[drawn > self._largest(lambda F: self._posterior(F)[0])[1]]
        if not len(kept):
            return None
        spread = float(kept.var(ddof=1)) if len(kept) > 1 else 0.0

        def bound(F: Matrix) -> NDArray[np.float64]:
            mean, variance, V = self._posterior(F)
            covariance = self._kernel(F, f)[:, 0] - V.T @ V_x[:, 0]
            gain = covariance / (variance_x + self._noise)
            left = np.maximum(variance - gain * covariance, 0.0)
            return np.asarray(
                mean + gain * (kept.mean() - mean_x) + self._root_beta * np.sqrt(left + gain**2 * spread)
            )

        return self._largest(bound)[0]

    def _largest(self, acquisition: Acquisition) -> tuple[Matrix, float]:
        """Return the configuration, shape (d,), where an acquisition is largest, and its value there."""
        X = np.concatenate([self._space.sample(self.RANDOM, self._rng), self._trials])
        values = acquisition(self._features(X))
        for step in self.STEPS:
            best = np.argsort(-values, kind="stable")[: self.BEST]
            near = self._neighbours(X[best], step)
            X = np.concatenate([X[best], near])
            values = np.concatenate([values[best], acquisition(self._features(near))])
        return X[np.argmax(values)], float(values.max())

    def _neighbours(self, X: Matrix, step: float) -> Matrix:
        """Return neighbours: normal steps in some hyperparameters, another value of some categories."""
        U = np.repeat(self._space.to_unit(X), self.NEIGHBOURS, axis=0)
        U = np.where(np.isnan(U), self._rng.random(U.shape), U)
        moved = np.clip(U + step * self._rng.standard_normal(U.shape), 0.0, 1.0)
        moved = np.where(self._space.is_categorical, self._rng.random(U.shape), moved)
        chosen = self._rng.random(U.shape) < max(0.3, 1 / self._space.d)
        return self._space.from_unit(np.where(chosen, moved, U))

    def _features(self, X: Matrix) -> Matrix:
        """Return the features of configurations, shape (m, features)."""
        U = self._space.to_unit(X)
        U = np.where(np.isnan(U), 0.5, U)
        free, categorical = self._space.levels != 1, self._space.is_categorical
        of_categories = [
            (X[:, [j]] == np.arange(self._space.levels[j])).astype(np.float64)
            for j in np.flatnonzero(free & categorical)
        ]
        return np.concatenate([U[:, free & ~categorical], *of_categories], axis=1)
