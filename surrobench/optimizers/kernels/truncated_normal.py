"""Quantiles of truncated normal distributions, to the last bit as Optuna 5.0 finds them.

The mathematics: the quantile of a normal distribution cut off at a and b solves log Phi(x) = log(Phi(a) + q
(Phi(b) - Phi(a))), by Newton's method on the logarithm, which is concave. The first guess is the tail's
asymptote far out (Abramowitz & Stegun 26.2.12) and the logistic distribution's quantile elsewhere (Bowling
et al., JIEM 2009). What is exact and what is not:

- Every function here has the operations, in the order, that were observed to give Optuna's bits. Where a
  value does not influence the last bit of the result, it is approximated.
- Newton's method stops when *all* elements of a batch have converged. The number of steps of each element
  is a step function of its argument, whose steps ``newton_steps`` finds once by bisection. Elements near a
  step are ``unsure``, and so are arguments where an approximation would not do: Optuna is asked then.
- ``math.erf`` and ``math.log`` are those of the C library, from which the vectorised ones differ.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from surrobench.arrays import Floats

LOG_ROOT_2PI = math.log(math.sqrt(2 * math.pi))
ROOT_2 = 2**0.5
_LOGISTIC = math.sqrt(3) / math.pi
_FLIPS = -1e-2
"""From here on up, the logarithm of a probability is replaced by that of its complement."""
_FAR = -5.0
"""From here on down, the first guess is the tail's asymptote."""
_TAIL = -20.0
_DEEPEST = -50.0
"""No sum of a probability that the generator can draw has a smaller logarithm."""

_erf = np.frompyfunc(math.erf, 1, 1)
_erfc = np.frompyfunc(math.erfc, 1, 1)
_log = np.frompyfunc(math.log, 1, 1)


def _floats(function: np.ufunc, x: Floats) -> Floats:
    return np.asarray(function(x), dtype=np.float64)


def cdf(x: Floats) -> Floats:
    """Return Phi(x) as the sum of a half and half of an error function, for any shape."""
    return 0.5 + 0.5 * _floats(_erf, x / ROOT_2)


def log_cdf(x: Floats) -> Floats:
    """Return log Phi(x), shape (m,): exact above -20, to a relative error of 1e-5 below."""
    scaled = x / ROOT_2
    edge = 1 / ROOT_2
    right = x > 6
    scaled[right] = -x[right] / ROOT_2
    mass = np.empty_like(x)
    tail = x <= _TAIL
    left, above = (scaled < -edge) & ~tail, scaled >= edge
    middle = ~(left | above | tail)
    mass[left] = 0.5 * _floats(_erfc, -scaled[left])
    mass[middle] = 0.5 + 0.5 * _floats(_erf, scaled[middle])
    mass[above] = 1.0 - 0.5 * _floats(_erfc, scaled[above])
    out = np.empty_like(x)
    out[right] = -mass[right]
    plain = ~(right | tail)
    out[plain] = _floats(_log, mass[plain])
    far = x[tail]
    out[tail] = -0.5 * far * far - np.log(-far) - LOG_ROOT_2PI - 1 / (far * far)
    return out


def log_mass(a: Floats, b: Floats) -> Floats:
    """Return log(Phi(b) - Phi(a)), shape (m,), of fewer than 2,000 intervals.

    Optuna uses another error function for more of them.
    """
    right, left = a > 0, b <= 0
    edge = right | left
    out = np.log1p(-cdf(np.where(edge, -1.0, a)) - cdf(np.where(edge, -1.0, -b)))
    if edge.any():  # mirrored, so that both ends are in the left tail
        near = np.where(right, -a, b)[edge]
        far = np.where(right, -b, a)[edge]
        larger = log_cdf(near)
        out[edge] = larger + np.log1p(-np.exp(log_cdf(far) - larger))
    return out


# ---------------------------------------------------------------------- Newton's method


class Steps(NamedTuple):
    """Holds how many steps Newton's method takes: ``counts[i]`` from ``points[i - 1]`` on."""

    points: Floats
    counts: NDArray[np.intp]


def _steps_of(z: Floats) -> NDArray[np.intp]:
    """Return how many steps Newton's method takes for each argument alone, shape (m,)."""
    x = _first_guess(z)
    steps = np.zeros(len(z), dtype=np.intp)
    for step in range(1, 101):
        known = log_cdf(x)
        change = (known - z) * np.exp(known - (-0.5 * x**2 - LOG_ROOT_2PI))
        x = x - change
        steps[(steps == 0) & (np.abs(change) < 1e-8 * np.abs(x))] = step
        if steps.all():
            break
    return steps


@cache
def newton_steps() -> Steps:
    """Return the step function of the number of Newton's steps."""
    near_half = math.log(2) + np.concatenate([-np.geomspace(1e-1, 1e-7, 60), np.geomspace(1e-7, 1e-1, 60)])
    grid = np.concatenate([np.linspace(1e-2, 5, 700), near_half, np.linspace(5, -_DEEPEST, 400)])
    arguments = -np.unique(grid)[::-1]
    counts = _steps_of(arguments)
    changes = np.flatnonzero(counts[1:] != counts[:-1])
    low, high, before = arguments[changes], arguments[changes + 1], counts[changes]
    for _ in range(50):
        middle = (low + high) / 2
        same = _steps_of(middle) == before
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return Steps(high, counts[np.concatenate([[0], changes + 1])])


def steps_needed(log_p: Floats) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return how many steps Newton's method takes for each argument, of any shape.

    Args:
        log_p: logarithms of probabilities, nearly exact.

    Returns:
        steps: for each.
        unsure: where an argument is too near to where the number changes.
    """
    points, counts = newton_steps()
    flipped = log_p > _FLIPS
    with np.errstate(divide="ignore"):
        z = np.where(flipped, np.log(-np.expm1(np.where(flipped, log_p, -1.0))), log_p)
    at = np.searchsorted(points, z, side="right")
    rounding = 1e-9 * (1 - z)
    unsure = (at > 0) & (z - points[np.maximum(at - 1, 0)] < rounding)
    unsure |= (at < len(points)) & (points[np.minimum(at, len(points) - 1)] - z < rounding)
    unsure |= (z < _DEEPEST) | (np.abs(z + math.log(2)) < 1e-6)
    unsure |= np.abs(log_p - _FLIPS) < 1e-11
    return counts[at], unsure


def _first_guess(z: Floats) -> Floats:
    x = np.empty_like(z)
    far = z < _FAR
    x[far] = -np.sqrt(-2.0 * (z[far] + LOG_ROOT_2PI))
    x[~far] = -_LOGISTIC * np.log(np.expm1(-z[~far]))
    return x


def inverse_log_cdf(y: Floats, steps: NDArray[np.intp]) -> Floats:
    """Return x with log Phi(x) = y, shape (m,), after a given number of Newton's steps for each."""
    flipped = y > _FLIPS
    z = y.copy()
    z[flipped] = np.log(-np.expm1(y[flipped]))
    x = _first_guess(z)
    for step in range(int(steps.max(initial=0))):
        go = steps > step
        here = x[go]
        known = log_cdf(here)
        x[go] = here - (known - z[go]) * np.exp(known - (-0.5 * here**2 - LOG_ROOT_2PI))
    x[flipped] *= -1
    return x


def quantile(q: Floats, a: Floats, b: Floats, steps: NDArray[np.intp]) -> Floats:
    """Return the quantiles of normal distributions cut off at a and b, shape (m,) like all arguments."""
    left = a < 0
    with np.errstate(divide="ignore"):
        log_q = np.where(left, np.log(np.where(left, q, 0.5)), np.log1p(-np.where(left, 0.5, q)))
    y = np.logaddexp(log_cdf(np.where(left, a, -b)), log_q + log_mass(a, b))
    x = inverse_log_cdf(y, steps)
    return np.where(q == 0, a, np.where(left, x, -x))
