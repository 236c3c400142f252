"""Optimizers that a user brings: in a file, or in an installed package."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.engine.loop import drive
from surrobench.errors import SuiteError, UnknownName, UsageError
from surrobench.execution.shards import execute
from surrobench.optimizers import user_defined as own
from surrobench.optimizers.registry import OPTIMIZERS, optimizer
from surrobench.plan.planning import plan
from surrobench.plan.run import Run
from surrobench.suite.loading import parse_suite
from tests.studies import MLP, suite_text, surrobench

GENERATOR = '''\
import numpy as np
from surrobench.protocol.requests import Evaluate

def mine(task, rng, *, step=0.5):
    """Half-way to the best. More text."""
    best = task.default
    while True:
        x = task.space.snap(best + step * (task.space.sample(1, rng) - best))
        answer = yield Evaluate(x, source="mine")
        best = answer.configurations[0]
'''
SPEAKERS = """\
class Matrices:
    def __init__(self, task, rng):
        self.space, self.rng, self.told = task.space, rng, []
    def ask(self):
        return self.space.sample(3, self.rng)
    def tell(self, X, losses):
        assert X.shape == (3, self.space.d) and losses.shape == (3,)

class Several(Matrices):
    def ask(self):
        return self.space.decode(super().ask())
    def tell(self, configurations, losses):
        assert [type(c) for c in configurations] == [dict] * 3
        assert [type(loss) for loss in losses] == [float] * 3

def factory(task, rng):
    return Several(task, rng)

class Between:
    def __init__(self, task, rng):
        assert [loss for _, loss in task.granted()] == task.initial.losses.tolist()
    def ask(self):
        import numpy as np
        size = np.int64(30)
        return {"alpha": 1.1e-4, "batch_size": size, "depth": 2, "learning_rate_init": 1e-3, "width": 64.5}
    def tell(self, configuration, loss):
        assert (configuration["batch_size"], configuration["width"]) == (25, 64)

class Outside(Between):
    def ask(self):
        return super().ask() | {"depth": 99}

def nothing(task, rng):
    return 3
"""


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def planned(spec: str, *, trials: int = 6, **parameters: object) -> list[Run]:
    table = "".join(f"parameters.{key} = {value}\n" for key, value in parameters.items())
    text = suite_text(trials=trials, seeds=1, name="own") + f'[optimizers.own]\nmethod = "{spec}"\n{table}'
    return [run for run in plan(parse_suite(text)) if run.method == "own"]


def outcome(spec: str, **options):
    ended = []
    drive(planned(spec, **options), ended.append)
    return ended[0]


# ---------------------------------------------------------------------- what a file may hold


def test_a_generator_function_runs_as_ours_do(tmp_path: Path) -> None:
    path = write(tmp_path, GENERATOR)
    ended = outcome(f"{path}:mine", step=0.25)
    assert (ended.state, ended.n) == ("ok", 6)
    assert ended.run.optimizer == "mine.py:mine"
    assert ended.run.parameters == {"step": 0.25}
    entry = optimizer(f"{path}:mine")
    assert (entry.summary, entry.resolve({})) == ("Half-way to the best. More text.", {"step": 0.5})


@pytest.mark.parametrize("name", ["Matrices", "Several", "factory", "Between"])
def test_ask_and_tell_speak_matrices_or_mappings(tmp_path: Path, name: str) -> None:
    ended = outcome(f"{write(tmp_path, SPEAKERS)}:{name}")
    assert (ended.state, ended.n, ended.error) == ("ok", 6, "")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Outside", "depth = 99 is not in the space. It is one of 1, 2, 3."),
        ("nothing", "made a int, which is no"),
    ],
)
def test_what_goes_wrong_while_it_runs_fails_that_run_with_the_reason(tmp_path, name, says) -> None:
    ended = outcome(f"{write(tmp_path, SPEAKERS)}:{name}")
    assert ended.state == "failed"
    assert says in ended.error


def test_dataclasses_and_neighbours_work_and_no_module_name_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "STEP = 0.5\n", "helper.py")
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom .helper import STEP\n"
        "@dataclass\nclass State:\n    x: float\n\n" + GENERATOR.replace("step=0.5", "step=STEP")
    )
    path = write(tmp_path, text, "json.py")
    before = set(sys.modules)
    assert optimizer(f"{path}:mine").resolve({}) == {"step": 0.5}
    assert all(name.startswith("surrobench_user_") for name in set(sys.modules) - before)
    assert not (tmp_path / "json.pyc").exists()


# ---------------------------------------------------------------------- identity


def test_the_folder_is_no_part_of_a_runs_identity_and_the_content_is(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    here, there = write(tmp_path / "a", GENERATOR), write(tmp_path / "b", GENERATOR)
    edited = write(tmp_path / "c", GENERATOR + "# edited\n")
    (one,), (other,), (third,) = (planned(f"{path}:mine") for path in (here, there, edited))
    assert one.id == other.id != third.id
    assert one.file == str(here)


def test_a_neighbour_is_part_of_the_identity(tmp_path: Path) -> None:
    versions = set()
    for folder, step in (("a", 0.5), ("b", 0.5), ("c", 0.6)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, f"STEP = {step}\n", "helper.py")
        path = write(tmp_path / folder, "from . import helper\n" + GENERATOR)
        versions.add(optimizer(f"{path}:mine").version)
    assert len(versions) == 2


@pytest.mark.parametrize(
    ("imports", "name"),
    [
        ("def late():\n    from . import helper\n", "helper.py"),
        ("def late():\n    from .helper import STEP\n", "helper.py"),
        ("from .other import thing\n", "helper.py"),
        ("from .inner.deep import STEP\n", "inner/deep.py"),
    ],
)
def test_a_neighbour_counts_wherever_it_is_imported(tmp_path: Path, imports: str, name: str) -> None:
    versions = []
    for step in (0.5, 0.6):
        (tmp_path / "inner").mkdir(exist_ok=True)
        write(tmp_path, "from . import helper\nthing = helper\n", "other.py")
        write(tmp_path, "", "helper.py")
        write(tmp_path, f"STEP = {step}\n", name)
        write(tmp_path, f"UNUSED = {step}\n", "unrelated.py")
        path = write(tmp_path, imports + GENERATOR)
        versions.append(optimizer(f"{path}:mine").version)
    assert versions[0] != versions[1]
    write(tmp_path, "UNUSED = 7\n", "unrelated.py")
    assert optimizer(f"{path}:mine").version == versions[1]


# ---------------------------------------------------------------------- the budget


@pytest.mark.parametrize("says", [None, True, False])
def test_a_method_says_whether_another_budget_makes_another_run(tmp_path: Path, says: bool | None) -> None:
    said = "" if says is None else f"\nmine.uses_horizon = {says}\n"
    path = write(tmp_path, GENERATOR + said)
    [few], [many] = (planned(f"{path}:mine", trials=n) for n in (6, 9))
    assert (few.id == many.id) == (says is False)


def test_a_method_that_says_so_does_not_see_the_budget(tmp_path: Path) -> None:
    peeks = """
import numpy as np
from surrobench.protocol.requests import Evaluate

def peeks(task, rng):
    assert task.horizon > 10**9, "it depends on the budget"
    while True:
        yield Evaluate(task.space.sample(1, rng))
"""
    assert outcome(f"{write(tmp_path, peeks)}:peeks").state == "failed"
    path = write(tmp_path, peeks + "\npeeks.uses_horizon = False\n", "honest.py")
    assert outcome(f"{path}:peeks").state == "ok"


def test_a_sampler_made_from_a_seed_alone_cannot_see_the_budget(tmp_path: Path) -> None:
    sampler = "import optuna\n\ndef make(seed):\n    return optuna.samplers.RandomSampler(seed=seed)\n"
    path = write(tmp_path, sampler)
    [few], [many] = (planned(f"{path}:make", trials=n) for n in (6, 9))
    assert few.id == many.id


def test_what_it_says_of_the_budget_is_yes_or_no(tmp_path: Path) -> None:
    path = write(tmp_path, GENERATOR + "\nmine.uses_horizon = 'no'\n")
    with pytest.raises(UsageError, match=r"uses_horizon is 'no'\. It must be True or False"):
        optimizer(f"{path}:mine")


def test_an_edit_is_seen_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, GENERATOR)
    assert optimizer(f"{path}:mine").resolve({}) == {"step": 0.5}
    write(tmp_path, GENERATOR.replace("0.5", "0.7"))
    assert optimizer(f"{path}:mine").resolve({}) == {"step": 0.7}


def test_a_worker_refuses_a_file_that_was_edited_meanwhile(tmp_path: Path) -> None:
    path = write(tmp_path, GENERATOR)
    runs = planned(f"{path}:mine")
    assert execute(runs)[0][0].state == "ok"
    write(tmp_path, GENERATOR + "# edited\n")
    with pytest.raises(UsageError, match="edited while its study ran"):
        execute(runs)


def test_a_path_is_relative_to_the_suite_and_else_to_the_current_folder(tmp_path, monkeypatch) -> None:
    for folder in ("suite", "current"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "current")
    text = suite_text(name="own") + '[optimizers.own]\nmethod = "./mine.py:mine"\n'
    there = write(tmp_path / "current", GENERATOR)
    assert parse_suite(text, folder=tmp_path / "suite").optimizers["own"].method == f"{there}:mine"
    beside = write(tmp_path / "suite", GENERATOR)
    assert parse_suite(text, folder=tmp_path / "suite").optimizers["own"].method == f"{beside}:mine"


# ---------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("text", "spec", "says"),
    [
        (None, "mine.py:mine", r"mine\.py cannot be read: No such file"),
        (GENERATOR, "mine.py:mien", r"has no 'mien'\. Did you mean 'mine'\?"),
        (GENERATOR, "mine.py", r"names no optimizer in a file\. Write FILE\.py:NAME"),
        (
            "x = 1 / 0\n",
            "mine.py:mine",
            r"cannot be imported: ZeroDivisionError: division by zero \(mine\.py:1\)",
        ),
        ("def mine(:\n", "mine.py:mine", r"cannot be imported: SyntaxError: .*line 1"),
        (
            "import no_such_thing\n",
            "mine.py:mine",
            r"cannot be imported: ModuleNotFoundError: .*'no_such_thing'",
        ),
        ("import sys\nsys.exit(3)\n", "mine.py:mine", r"cannot be imported: SystemExit: 3"),
        ("raise KeyboardInterrupt\n", "mine.py:mine", r"cannot be imported: KeyboardInterrupt: no message"),
        ("mine = 3\n", "mine.py:mine", r"mine\.py:mine is no function or class"),
        ("def mine(task): yield\n", "mine.py:mine", r"Its first parameters must be task and rng"),
        (
            "def mine(task, rng, *, a): yield\n",
            "mine.py:mine",
            r"Parameter 'a' of mine\.py:mine has no default",
        ),
        ("def mine(task, rng, *, a=[object()]): yield\n", "mine.py:mine", r"'a' of mine\.py:mine .* JSON"),
    ],
)
def test_what_is_wrong_with_it_is_one_line_that_names_the_place(tmp_path, text, spec, says) -> None:
    if text is not None:
        write(tmp_path, text)
    suite = suite_text(name="own") + f'[optimizers.own]\nmethod = "./{spec}"\n'
    with pytest.raises(SuiteError) as caught:
        parse_suite(suite, "own.toml", tmp_path)
    message = str(caught.value)
    assert re.search(says, message), message
    assert message.startswith("own.toml: optimizers.own.")
    assert f'method = "./{spec}"' in message
    assert "\n" not in message


def test_a_misspelt_parameter_is_named_with_the_near_miss(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"own\.parameters: .*'setp'\. Did you mean 'step'\?"):
        planned(f"{write(tmp_path, GENERATOR)}:mine", setp=1)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    lines = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        lines.append(f'[optimizers.{folder}]\nmethod = "{write(tmp_path / folder, GENERATOR)}:mine"\n')
    with pytest.raises(SuiteError, match=r"Two files offer mine\.py:mine"):
        parse_suite(suite_text() + "".join(lines))


def test_it_may_ask_a_language_model(tmp_path: Path) -> None:
    path = write(tmp_path, GENERATOR)
    models = '\n[models.tiny]\nurl = "http://127.0.0.1:9/v1"\nmodel = "x"\n'
    text = suite_text() + f'[optimizers.own]\nmethod = "{path}:mine"\nmodels = ["tiny"]\n' + models
    runs = [run for run in plan(parse_suite(text)) if run.method == "own"]
    assert {run.model for run in runs} == {"tiny"}
    assert {run.id for run in runs}.isdisjoint(run.id for run in planned(f"{path}:mine"))


# ---------------------------------------------------------------------- packages


class Distribution:
    name, version = "fast-hpo", "1.2"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Pretends that a package offers two optimizers, one of them broken, and one under a name of ours."""
    write(tmp_path, GENERATOR, "fast_hpo_for_tests.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "fast_hpo_for_tests", raising=False)
    points = []
    for name, value in (("fast", ":mine"), ("broken", ".missing:mine"), ("random", ":mine")):
        point = importlib.metadata.EntryPoint(name, f"fast_hpo_for_tests{value}", own.GROUP)
        vars(point).update(dist=Distribution())
        points.append(point)
    monkeypatch.setattr(own, "entry_points", lambda group: [p for p in points if p.group == group])
    monkeypatch.setattr("surrobench.optimizers.registry._brought", {})


@pytest.mark.usefixtures("installed")
def test_a_package_may_offer_optimizers() -> None:
    ended = outcome("fast")
    assert (ended.state, ended.run.optimizer, ended.run.file) == ("ok", "fast", None)
    assert "(fast-hpo 1.2)" in optimizer("fast").summary
    assert optimizer("random") is OPTIMIZERS["random"]


@pytest.mark.usefixtures("installed")
def test_an_edit_of_a_packages_source_is_another_version_and_a_release_without_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version() -> object:
        monkeypatch.setattr("surrobench.optimizers.registry._brought", {})
        return optimizer("fast").version

    before = version()
    monkeypatch.setattr(Distribution, "version", "1.3")
    assert version() == before
    write(tmp_path, GENERATOR.replace("0.5", "0.6"), "fast_hpo_for_tests.py")
    assert version() != before


@pytest.mark.usefixtures("installed")
def test_a_broken_package_is_one_line_and_breaks_nothing_else() -> None:
    with pytest.raises(UsageError, match=r"'broken' of fast-hpo 1\.2 cannot be imported: ModuleNotFound"):
        optimizer("broken")
    done = surrobench("list", "optimizers")
    assert done.status == 0
    assert "Half-way to the best" in done.out
    assert "cannot be imported" in done.out


@pytest.mark.usefixtures("installed")
def test_a_near_miss_of_a_packages_optimizer_is_found() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'fast'"):
        optimizer("fats")


def test_names_of_ours_do_not_look_for_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(group: str) -> None:
        raise AssertionError(group)

    monkeypatch.setattr(own, "entry_points", refuse)
    assert plan(parse_suite(suite_text(MLP)))
    assert np.all([optimizer(name) for name in OPTIMIZERS])


# ---------------------------------------------------------------------- mappings under conditions

CLIMBER = """\
import math

class Climber:
    def __init__(self, task, rng, *, explore=0.2):
        self.space, self.rng, self.explore = task.space, rng, explore
        self.best, self.loss = None, math.inf
        for configuration, loss in task.granted():
            self.tell(configuration, loss)

    def ask(self):
        fresh = self.space.decode(self.space.sample(1, self.rng))[0]
        if self.best is None or self.rng.random() < self.explore:
            return fresh
        name = self.rng.choice(["booster", *fresh])
        return self.best | {name: fresh[name]}

    def tell(self, configuration, loss):
        if loss < self.loss:
            self.best, self.loss = configuration, loss

class Pairs(Climber):
    def ask(self):
        return [super(Pairs, self).ask(), super(Pairs, self).ask()]

    def tell(self, configurations, losses):
        if isinstance(losses, float):
            configurations, losses = [configurations], [losses]
        for configuration, loss in zip(configurations, losses):
            super().tell(configuration, loss)
"""


@pytest.mark.yahpo
@pytest.mark.parametrize("name", ["Climber", "Pairs"])
def test_a_mapping_is_made_to_follow_the_conditions(tmp_path: Path, name: str) -> None:
    """One value of another configuration deactivates some hyperparameters, and activates others."""
    path = write(tmp_path, CLIMBER)
    text = suite_text("yahpo/rbv2_xgboost/40981", trials=120, seeds=1, name="own")
    text += f'[optimizers.own]\nmethod = "{path}:{name}"\nparameters.explore = 0.1\n'
    ended = []
    drive([run for run in plan(parse_suite(text)) if run.method == "own"], ended.append)
    assert (ended[0].state, ended[0].n, ended[0].error) == ("ok", 120, "")
    space = benchmark("yahpo/rbv2_xgboost/40981").space
    filled = set()
    trial = 0
    for origin, length in zip(ended[0].origins, ended[0].lengths, strict=True):
        for repair in origin.repairs:
            kind, _, hp = repair.partition(":")
            assert kind == "filled"
            [value] = space.decode(ended[0].configurations[[trial]])
            assert value[hp] == pytest.approx(space[hp].default_value)
            filled.add(hp)
        trial += length
    assert filled


def test_what_no_condition_explains_is_still_an_error(tmp_path: Path) -> None:
    path = write(
        tmp_path, SPEAKERS + "\nclass Partial(Between):\n    def ask(self):\n        return {'depth': 2}\n"
    )
    ended = outcome(f"{path}:Partial")
    assert ended.state == "failed"
    assert "is missing" in ended.error
