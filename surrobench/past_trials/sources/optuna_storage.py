"""Read studies from a storage of Optuna: an SQLite file, a journal file, or the URL of a database.

``past.db``, ``sqlite:///past.db``, ``journal.log`` and ``postgresql://...`` are storages. ``#STUDY`` after
one chooses a study. A file is copied before it is opened, since opening a storage may change it.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ConfigSpace import (
    CategoricalHyperparameter,
    ConfigurationSpace,
    Constant,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from surrobench.errors import DataError, in_one_line
from surrobench.past_trials.infer import parents, with_conditions
from surrobench.past_trials.trials import Asked, Found, PastTrial, State

if TYPE_CHECKING:
    import optuna

_UPGRADE = (
    "import sys; from optuna.storages import RDBStorage; "
    "RDBStorage(sys.argv[1], skip_compatibility_check=True).upgrade()"
)
SQLITE = b"SQLite format 3\0"
STATES: dict[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def recognizes(path: Path) -> bool:
    """Return whether a file is a storage: an SQLite file with Optuna's tables, or a journal of Optuna."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    return head.startswith(SQLITE) or (head.startswith(b"{") and b'"op_code"' in head.split(b"\n", 1)[0])


def read(source: str, asked: Asked) -> list[Found]:
    """Return the studies of a storage, or the one that is named after ``#``.

    Raises:
        DataError: the storage cannot be read, or has no such study; one line without passwords.
    """
    import optuna

    place, _, name = source.partition("#")
    shown = _without_password(place)
    with warnings.catch_warnings(), _opened(place, shown) as storage:
        warnings.simplefilter("ignore")
        try:
            studies = optuna.get_all_study_names(storage)
            if name and name not in studies:
                raise DataError(f"{shown} has no study {name!r}.", f"It has {', '.join(studies) or 'none'}.")
            chosen = [name] if name else studies
            return [_study(optuna.load_study(study_name=one, storage=storage)) for one in chosen]
        except DataError:
            raise
        except Exception as error:  # a storage of others may raise anything
            raise _unreadable(place, error) from None


def _without_password(place: str) -> str:
    if "://" not in place or place.startswith("sqlite:"):
        return place.rpartition("/")[2]
    url = urlsplit(place)
    return f"{url.scheme}://{url.hostname or ''}{url.path}"


def _unreadable(place: str, error: Exception) -> DataError:
    """Return the error for a storage that cannot be opened. What libraries say may repeat the password."""
    said = in_one_line(error).replace(place, _without_password(place))
    if "://" in place and (password := urlsplit(place).password):
        said = said.replace(password, "***")
    return DataError(f"The storage {_without_password(place)} cannot be read: {said}.")


@contextlib.contextmanager
def _opened(place: str, shown: str) -> Iterator[Any]:
    """Open a storage; files are copied, and the copy is brought to the form of the Optuna that is here."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if "://" in place and not place.startswith("sqlite:///"):
            yield optuna.storages.RDBStorage(place)
            return
        file = Path(place.removeprefix("sqlite:///"))
        with tempfile.TemporaryDirectory(prefix="surrobench-") as folder:
            copy = Path(folder) / "storage"
            try:
                shutil.copyfile(file, copy)
                is_sqlite = copy.read_bytes()[: len(SQLITE)] == SQLITE
            except OSError as error:
                raise DataError(f"The storage {shown} cannot be read: {error.strerror}.") from None
            if not is_sqlite:
                yield optuna.storages.JournalStorage(JournalFileBackend(str(copy)))
                return
            url = f"sqlite:///{copy}"
            storage = optuna.storages.RDBStorage(url, skip_compatibility_check=True)
            try:
                if storage.get_current_version() != storage.get_head_version():
                    # In a process of its own, since an upgrade changes the logging of its process.
                    subprocess.run([sys.executable, "-c", _UPGRADE, url], check=True, capture_output=True)
                yield storage
            finally:
                storage.engine.dispose()
    except DataError:
        raise
    except Exception as error:
        raise _unreadable(place, error) from None
    finally:
        optuna.logging.set_verbosity(before)


def _study(study: optuna.Study) -> Found:
    from optuna.study import StudyDirection

    names = study.metric_names or (
        ["value"] if len(study.directions) == 1 else [f"value_{i}" for i in range(len(study.directions))]
    )
    objectives = dict(
        zip(names, (direction == StudyDirection.MINIMIZE for direction in study.directions), strict=True)
    )
    trials, dropped = [], Counter[str]()
    space, inferred = _space(study)
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name not in STATES:
            dropped["they had not ended"] += 1
            continue
        trials.append(_trial(trial, list(objectives)))
    curves = any(len(trial.curve) > 1 for trial in trials)
    fidelity = "step" if curves else ""
    return Found(study.study_name, trials, objectives, space, fidelity, dict(dropped), inferred)


def _trial(trial: optuna.trial.FrozenTrial, names: list[str]) -> PastTrial:
    state = STATES[trial.state.name]
    curve: dict[float, dict[str, float]] = {
        float(step): {names[0]: value} for step, value in sorted(trial.intermediate_values.items())
    }
    if state == "complete":
        # The result belongs to the last step, whatever was reported there.
        curve[max(curve, default=0.0)] = dict(zip(names, trial.values, strict=True))
    seconds = trial.duration.total_seconds() if trial.duration is not None else None
    return PastTrial(_configuration(trial), state, sorted(curve.items()), seconds)


def _configuration(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """Return the values of a trial; categories of several kinds are words."""
    return {
        name: str(value) if _mixed(trial.distributions[name]) else value
        for name, value in trial.params.items()
    }


def _mixed(distribution: Any) -> bool:
    """Return whether a distribution has categories of several kinds, such as None and numbers."""
    choices = getattr(distribution, "choices", ())
    return not any(all(type(choice) is kind for choice in choices) for kind in (str, int, float, bool))


def _space(study: optuna.Study) -> tuple[ConfigurationSpace, list[str]]:
    """Return the space of a study, and what was concluded about conditions.

    A range is the widest that the study drew from. A trial that failed may have failed before it had all of
    its values, so it says nothing about conditions.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in STATES]
    distributions: dict[str, list[Any]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            if distribution not in distributions.setdefault(name, []):
                distributions[name].append(distribution)
    made = {name: _hyperparameter(name, found) for name, found in distributions.items()}
    ended = [_configuration(trial) for trial in trials if STATES[trial.state.name] != "failed"]
    return with_conditions(made, parents({name: [one.get(name) for one in ended] for name in made}))


def _hyperparameter(name: str, found: list[Any]) -> Any:
    """Return the hyperparameter whose values the distributions of a name drew."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(found[0], CategoricalDistribution):
        choices = list(dict.fromkeys(choice for one in found for choice in one.choices))
        choices = list(map(str, choices)) if _mixed(found[0]) else choices
        return Constant(name, choices[0]) if len(choices) == 1 else CategoricalHyperparameter(name, choices)
    low, high = min(one.low for one in found), max(one.high for one in found)
    step, log = found[0].step, found[0].log
    if low == high:
        return Constant(name, low)
    if isinstance(found[0], IntDistribution) and step == 1:
        return UniformIntegerHyperparameter(name, low, high, log=log)
    if step is None:
        return UniformFloatHyperparameter(name, low, high, log=log)
    count = int((high - low) / step + 1e-9) + 1
    return OrdinalHyperparameter(name, [low + i * step for i in range(count)])
