"""Fit a surrogate to past trials and write it to a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.fitted.features import Features
from surrobench.benchmarks.fitted.folder import (
    FACTS,
    MEAN,
    Facts,
    ObjectiveFacts,
    digest,
)
from surrobench.errors import DataError
from surrobench.fitting.arrays import TrialArrays, arrays
from surrobench.fitting.candidates import Fit, refitted
from surrobench.fitting.export import as_onnx, differs
from surrobench.fitting.noise import Noise, noise
from surrobench.fitting.quality import ENOUGH, Quality, quality
from surrobench.fitting.selection import OUTER, choose, validated
from surrobench.libraries import ONNXRUNTIME, SKL2ONNX, SKLEARN
from surrobench.past_trials.trials import PastTrials
from surrobench.seeding import stream

REFITS = 10
"""How many refits to resampled trials a surrogate has as further instances."""
MANY = 200
"""With fewer configurations than this, the outer folds of the cross-validation are drawn twice."""
_CLOSE = 1e-5
"""How far an ONNX model may be from its fit, in units of the values' spread."""


@dataclass(frozen=True)
class Surrogate:
    """A surrogate that was fitted, and has not been written yet.

    Attributes:
        facts: what its folder will say.
        files: name -> content.
        quality: how good it is.
    """

    facts: Facts
    files: dict[str, bytes]
    quality: Quality

    def write(self, folder: Path) -> None:
        """Write the surrogate to a folder.

        Raises:
            DataError: the folder cannot be written, or holds something else.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()) and not (folder / FACTS).exists():
                raise DataError(f"{folder} holds something else.", "Name a new folder with --out.")
            for name, content in self.files.items():
                (folder / name).write_bytes(content)
            text = json.dumps(self.facts.model_dump(mode="json"), indent=1, ensure_ascii=False)
            (folder / FACTS).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise DataError(f"{folder} cannot be written: {error.strerror}.") from None


def fit(trials: PastTrials, note: Callable[[str], None] = lambda line: None) -> Surrogate:
    """Fit a surrogate to past trials. The same trials give the same surrogate.

    Args:
        trials: the trials.
        note: takes a line at the beginning of each step.

    Raises:
        DataError: there are too few trials, or all have the same result.
        MissingLibrary: a library is not installed.
    """
    for library in (SKLEARN, SKL2ONNX, ONNXRUNTIME):
        library.require("Fitting a surrogate")
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # the matrices are small, and more threads wait for each other
        return _fitted(trials.title, arrays(trials), note)


def _fitted(title: str, data: TrialArrays, note: Callable[[str], None]) -> Surrogate:
    note(f"Choosing a model for {data.configurations:,} configurations ...")
    repetitions = 2 if data.configurations < MANY else 1
    chosen = choose(data.features, data.y[:, 0], data.group, repetitions)
    note("Estimating how good it is ...")
    fits = [chosen.fit]
    noises = [noise(data.features, data.y[:, 0], chosen.out_of_fold.mean(axis=0), data.group, data.at)]
    for column in range(1, data.y.shape[1]):
        other = refitted(chosen.fit, data.features, data.y[:, column], column)
        unseen = validated(other, data.features, data.y[:, column], data.group, OUTER, 0)
        fits.append(other)
        noises.append(noise(data.features, data.y[:, column], unseen, data.group, data.at))
    judged = quality(data, chosen, noises[0])
    note(f"Fitting it to resampled trials, {REFITS} times ...")
    return _assembled(title, data, fits, noises, judged)


def refuse_if_poor(surrogate: Surrogate, accept: bool) -> None:
    """Refuse a surrogate that ranks unseen trials too badly.

    Args:
        surrogate: the surrogate.
        accept: whether the user wants it all the same.

    Raises:
        DataError: its rank correlation is below ``ENOUGH``.
    """
    found = surrogate.quality.rank_correlation
    if found.value < ENOUGH and not accept:
        raise DataError(
            f"The surrogate would mislead: its rank correlation with unseen trials is {found}, and {ENOUGH} "
            "is the least that a verdict can rest on.",
            "Add trials, best drawn at random; or accept it by name with --accept-poor.",
        )


def _assembled(
    title: str, data: TrialArrays, fits: list[Fit], noises: list[Noise], judged: Quality
) -> Surrogate:
    files: dict[str, bytes] = {}
    width = data.features.shape[1]

    def add(name: str, model: Fit) -> str:
        files[f"{name}.onnx"] = as_onnx(model, width)
        return f"{name}.onnx"

    models = {MEAN: [add(f"{MEAN}-{j}", one) for j, one in enumerate(fits)]}
    _check(fits[0], files[models[MEAN][0]], data)
    for k in range(1, REFITS + 1):
        rows = _resampled(data.group, k)
        models[f"refit-{k}"] = [
            add(f"refit-{k}-{j}", refitted(one, data.features[rows], data.y[rows, j], k))
            for j, one in enumerate(fits)
        ]
    objectives = []
    for j, (name, minimize) in enumerate(data.objectives.items()):
        varying = noises[j].model
        file = None if varying is None else add(f"noise-{j}", varying)
        objectives.append(
            ObjectiveFacts(name=name, minimize=minimize, sigma=noises[j].sigma, noise_model=file)
        )
    known = np.isfinite(data.seconds) & (data.seconds > 0)
    cost = None
    if known.mean() > 0.5:
        cost = add("cost", refitted(fits[0], data.features[known], np.log(data.seconds[known]), 0))
    facts = Facts(
        schema_version=1,
        title=title,
        space=data.space.config_space.to_serialized_dict(),
        objectives=objectives,
        fidelity=data.fidelity,
        models=models,
        cost_model=cost,
        default=[None if np.isnan(value) else float(value) for value in _middle(data)],
        files={name: digest(content) for name, content in files.items()},
        report=judged.as_record(),
    )
    return Surrogate(facts, files, judged)


def _check(model: Fit, content: bytes, data: TrialArrays) -> None:
    """Check that an ONNX model is the fit that it was made of.

    Raises:
        DataError: it is not.
    """
    probe = data.space.sample(1000, stream("probe"))
    if (far := differs(model, content, Features(data.space, data.fidelity)(probe))) > _CLOSE:
        raise DataError(f"The ONNX model differs from its fit by {far:.1e} of the values' spread.")


def _resampled(group: NDArray[np.intp], k: int) -> NDArray[np.intp]:
    """Return the rows of configurations drawn with replacement; all rows of a drawn one are taken."""
    names = np.unique(group)
    drawn = stream("refit", k).choice(names, len(names))
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], drawn)
    ends = np.searchsorted(group[order], drawn, side="right")
    return np.concatenate([order[a:b] for a, b in zip(starts, ends, strict=True)])


def _middle(data: TrialArrays) -> NDArray[np.float64]:
    """Return the measured configuration that is nearest to the middle of all ranges, shape (d,)."""
    U = data.space.to_unit(data.X)[:, ~data.space.is_categorical]
    distance = np.nansum((U - 0.5) ** 2, axis=1)
    row: NDArray[np.float64] = data.X[int(np.argmin(distance))]
    return row
