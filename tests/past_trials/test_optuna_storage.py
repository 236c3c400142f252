"""Studies of Optuna, made by Optuna itself, as SQLite and as journal files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from surrobench.errors import DataError
from surrobench.past_trials.sources.registry import past_trials
from surrobench.past_trials.trials import PastTrials

FAILING = 17
"""Each trial whose number this divides fails."""


def storage(folder: Path, kind: str) -> str | optuna.storages.BaseStorage:
    """A new storage in a folder, and where it is."""
    if kind == "sqlite":
        return f"sqlite:///{folder / 'past.db'}"
    return optuna.storages.JournalStorage(JournalFileBackend(str(folder / "past.log")))


def path(folder: Path, kind: str) -> str:
    return str(folder / ("past.db" if kind == "sqlite" else "past.log"))


def objective(trial: optuna.Trial) -> float:
    """A loss with conditions, odd names, several kinds of categories, failures, and intermediate values."""
    booster = trial.suggest_categorical("boost er", ["gbtree", "lin'ear", None])
    loss = trial.suggest_float("l.r/x", 1e-5, 1, log=True)
    if booster == "gbtree":
        loss += trial.suggest_int("größe", 1, 9) / 10
    if booster is None:
        loss += trial.suggest_float('st"ep', 0, 1, step=0.25)
    if trial.suggest_int("layers", 1, 4) >= 3:
        loss += trial.suggest_float("drop", 0, 0.5)
    if trial.number % FAILING == 0:
        raise ValueError
    for step in range(10):
        trial.report(loss + 1 / (step + 1), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return loss + 0.1


@pytest.fixture(scope="module", params=["sqlite", "journal"])
def conditional(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, optuna.Study]:
    """A storage with a conditional study that has pruned and failed trials."""
    tmp_path = tmp_path_factory.mktemp("conditional")
    study = optuna.create_study(
        storage=storage(tmp_path, request.param),
        study_name="cond/[x]",
        sampler=optuna.samplers.RandomSampler(seed=1),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
    )
    study.optimize(objective, 80, catch=(ValueError,))
    return path(tmp_path, request.param), study


def loaded(*sources: str) -> PastTrials:
    return past_trials(sources)


def test_a_conditional_study_with_pruned_trials_becomes_a_conditional_table_with_a_fidelity(
    conditional: tuple[str, optuna.Study],
) -> None:
    source, study = conditional
    found = loaded(source)
    assert set(found.space) == {"boost er", "l.r/x", "größe", 'st"ep', "layers", "drop"}
    conditions = {condition.child.name: condition for condition in found.space.conditions}
    assert set(conditions) == {"größe", 'st"ep', "drop"}
    assert conditions["drop"].parent.name == "layers"
    assert list(conditions["drop"].values) == [3, 4]
    assert conditions["größe"].value == "gbtree"
    assert found.columns("fidelity") == ["fidelity.step"]
    assert found.frame["fidelity.step"].unique().sort().to_list() == list(range(1, 11))
    complete = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    full = found.frame.filter((found.frame["fidelity.step"] == 10) & ~found.frame["failed"])
    assert full["minimize.value"].to_list() == [trial.value for trial in complete]
    assert full["config.l.r/x"].to_list() == [trial.params["l.r/x"] for trial in complete]
    assert found.frame["failed"].sum() == len(range(0, 80, FAILING))


def test_pruned_trials_keep_what_was_reported(conditional: tuple[str, optuna.Study]) -> None:
    source, study = conditional
    pruned = [t for t in study.trials if t.state == optuna.trial.TrialState.PRUNED]
    assert pruned
    values = set(loaded(source).frame["minimize.value"].to_list())
    assert {value for trial in pruned for value in trial.intermediate_values.values()} <= values


def test_a_storage_is_not_changed(conditional: tuple[str, optuna.Study]) -> None:
    source, _ = conditional
    before = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    loaded(source)
    assert hashlib.sha256(Path(source).read_bytes()).hexdigest() == before


def two_studies(folder: Path, *directions: str) -> str:
    for number, direction in enumerate(directions):
        study = optuna.create_study(
            storage=storage(folder, "sqlite"),
            study_name=f"s{number}",
            direction=direction,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), 5)
    return path(folder, "sqlite")


def test_studies_of_one_space_merge_and_equal_configurations_are_repetitions(tmp_path: Path) -> None:
    found = loaded(two_studies(tmp_path, "minimize", "minimize"))
    assert found.frame["repetition"].to_list() == [0] * 5 + [1] * 5
    assert found.trials == 10
    assert "5 trials repeat" in " ".join(found.summary())


def test_one_study_is_chosen_by_its_name(tmp_path: Path) -> None:
    source = two_studies(tmp_path, "minimize", "maximize")
    assert loaded(f"{source}#s1").columns("maximize") == ["maximize.value"]
    assert loaded(f"optuna:sqlite:///{source}#s0").columns("minimize") == ["minimize.value"]


def test_studies_of_two_directions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="s0 and s1 differ in the direction of 'value'"):
        loaded(two_studies(tmp_path, "minimize", "maximize"))


def test_studies_of_two_spaces_are_refused(tmp_path: Path) -> None:
    two_studies(tmp_path, "minimize")
    study = optuna.create_study(storage=storage(tmp_path, "sqlite"), study_name="other")
    study.optimize(lambda trial: trial.suggest_float("y", 0, 1), 2)
    with pytest.raises(DataError, match="different search spaces: only one of them has 'x'"):
        loaded(path(tmp_path, "sqlite"))


def test_several_objectives_keep_their_directions(tmp_path: Path) -> None:
    study = optuna.create_study(storage=storage(tmp_path, "sqlite"), directions=["minimize", "maximize"])
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["loss", "speed"])
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), 3)
    assert loaded(path(tmp_path, "sqlite")).columns("minimize", "maximize") == [
        "minimize.loss",
        "maximize.speed",
    ]


def test_a_value_that_is_not_finite_is_a_failure(tmp_path: Path) -> None:
    study = optuna.create_study(storage=storage(tmp_path, "sqlite"))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) * (1 if trial.number else float("inf")), 3)
    assert loaded(path(tmp_path, "sqlite")).frame["failed"].to_list() == [True, False, False]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.db", b"", "is not known as a source"),
        ("cut.db", b"SQLite format 3\0" + b"\0" * 50, "cannot be read"),
        ("odd.log", b'{"op_code": 77}\n', "cannot be read"),
    ],
)
def test_a_damaged_storage_is_one_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(Exception, match=says) as caught:
        loaded(str(file))
    assert "\n" not in str(caught.value)


def test_a_missing_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no study 'x'\. It has s0") as caught:
        loaded(f"{two_studies(tmp_path, 'minimize')}#x")
    assert "\n" not in str(caught.value)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(DataError) as caught:
        loaded("postgresql://me:geheim@127.0.0.1:1/x")
    assert "geheim" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
