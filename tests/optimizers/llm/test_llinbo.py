import itertools
import json
from functools import partial
from typing import get_args

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor

from surrobench.engine.loop import drive as drive_in_engine
from surrobench.optimizers.llm import llinbo as module
from surrobench.optimizers.llm.gp_ucb import GpUcb
from surrobench.optimizers.llm.history import History
from surrobench.optimizers.llm.llinbo import llinbo
from surrobench.protocol.requests import Evaluated, Waste
from surrobench.seeding import stream
from tests.optimizers.chatting import INVALID, describe, engine_run, losses_of, play, randomly, task_of

CAR, FCN, NAS, XGB = (
    "hpobench/mlp/car",
    "hpolib/fcnet/protein_structure",
    "nasbench201/cell/cifar10",
    "yahpo/rbv2_xgboost/16",
)
each_mode = pytest.mark.parametrize("mode", get_args(module.Mode))


def rng(name="test_llinbo"):
    return stream("optimizer", name)


def trials(where, n=14, says=None, fails=lambda i, source: False, task=None, **parameters):
    task = task or task_of(where, horizon=n)
    program = llinbo(task, rng(), **parameters)
    return play(program, task, says or randomly(task), n, partial(losses_of, where), fails).turns


def sources(turns):
    return [turn.source for turn in turns]


# ---------------------------------------------------------------------- the first configurations


def test_first_the_model_names_as_many_configurations_as_there_are_hyperparameters():
    requests = []

    def says(request):
        requests.append(request)
        return randomly(task_of(CAR))(request)

    turns = trials(CAR, 6, says)
    assert [request.configurations for request in requests] == [5, 1]
    assert requests[0].sampling == {"temperature": 1.0, "max_tokens": 2000}
    assert requests[0].schema["minItems"] == 5
    assert "Suggest 5 diverse yet effective configurations" in turns[0].prompt
    assert turns[0].prompt.endswith("Answer only with a JSON array of 5 objects:")
    assert sources(turns) == ["llm"] * 6
    assert [bool(turn.prompt) for turn in turns] == [True, False, False, False, False, True]


@pytest.mark.parametrize(("granted", "asked"), [(1, 4), (4, 1), (5, 0), (9, 0)])
def test_granted_trials_count_towards_them(granted, asked):
    X = task_of(CAR).space.sample(granted, np.random.default_rng(0))
    task = task_of(CAR, initial=X, losses=-np.arange(granted) / 10, horizon=8)
    prompt = trials(CAR, 1, task=task)[0].prompt
    assert ("Suggest" in prompt) == (asked > 0)
    if asked > 1:
        assert f"Suggest {asked} diverse" in prompt
    if asked == 1:
        assert prompt.endswith("as one line of JSON:")
    assert (f"This is iteration 1 of {8 - asked}." in prompt) == (asked == 0)


def test_a_start_of_its_own_is_asked_for_whatever_was_granted():
    X = task_of(CAR).space.sample(9, np.random.default_rng(0))
    task = task_of(CAR, initial=X, losses=-np.arange(9) / 10, horizon=8)
    turns = trials(CAR, 3, task=task, start=3)
    assert "Suggest 3 diverse" in turns[0].prompt
    assert sources(turns) == ["llm"] * 3
    assert "Suggest" not in trials(CAR, 1, task=task, start=0)[0].prompt


@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_the_smallest_budgets_are_spent(horizon):
    assert sources(trials(CAR, horizon)) == ["llm"] * horizon


def test_the_prompt_is_in_the_published_order_with_the_history_shuffled():
    turns, task = trials(CAR, 8, mode="justify"), task_of(CAR)
    prompt = turns[7].prompt
    parts = [
        "metric that each reached",
        task.card.learner,
        task.card.dataset,
        *(f"- {hp.name}: {describe(hp)}" for hp in task.space.hyperparameters),
        "balances exploration and exploitation",
        "This is iteration 3 of 3.",
        "as one line of JSON:",
    ]
    places = [prompt.index(part) for part in parts]
    assert places == sorted(places)
    lines = [f"{json.dumps(task.shown.write(turn.x))} -> {-turn.loss:.4g}" for turn in turns[:7]]
    shown = [line for line in prompt.splitlines() if " -> " in line]
    assert sorted(shown) == sorted(lines)
    assert shown != lines
    assert "default" not in prompt.lower()
    assert "ideal" not in prompt  # the source tells the best value


def test_an_anonymous_prompt_gives_nothing_away():
    task, real = task_of(FCN, variant="anonymous", horizon=12), task_of(FCN)
    for turn in trials(FCN, 12, task=task, mode="justify"):
        for word in [real.card.learner, real.card.dataset, "error", "relu", "cosine", *real.space.names]:
            assert word not in turn.prompt
        assert not turn.prompt or "Metric: y" in turn.prompt


# ---------------------------------------------------------------------- the modes


def test_transient_hands_over_with_the_published_probability():
    gp = np.zeros(20)
    for seed in range(30):
        task = task_of(CAR, horizon=25)
        program = llinbo(task, rng(f"coin {seed}"))
        # What is flat draws at random, which is as quick as it can be.
        turns = play(program, task, randomly(task), 25, lambda X: np.full(len(X), np.nan)).turns
        gp += [turn.source == "random" for turn in turns[5:]]
    expected = np.minimum(np.arange(20) ** 2 / 20, 1)
    assert gp[0] == 0
    assert (gp[5:] == 30).all()  # T = 20: always from t = 5
    assert np.allclose(gp / 30, expected, atol=0.25)


@pytest.fixture
def process(monkeypatch):
    """The Gaussian process with bounds that the test decides: of its own point, of the model's."""

    class Scripted(GpUcb):
        bounds, variance = (1.0, 0.0), 0.6

        def point(self):
            self.own = super().point()
            return self.own

        def upper(self, x):
            return self.bounds[0] if x is self.own else self.bounds[1]

        def largest_variance(self):
            return self.variance

    monkeypatch.setattr(module, "GpUcb", Scripted)
    return Scripted


def test_justify_overrules_by_more_than_the_first_variance_over_t(process):
    # 1.0 > 0.75 + 0.6 / (t + 1) from t = 2 on.
    process.bounds = (1.0, 0.75)
    turns = trials(CAR, 10, mode="justify")
    assert sources(turns) == ["llm"] * 5 + ["llm", "llm", "gp", "gp", "gp"]
    assert all(turn.prompt for turn in turns[5:])  # the model is asked in any case


@pytest.mark.parametrize(("invalid", "failed", "known"), [(0, 0, 5), (2, 0, 5), (0, 5, 6), (2, 6, 7)])
def test_the_first_variance_is_that_after_the_first_configurations(
    process, monkeypatch, invalid, failed, known
):
    asked = []
    monkeypatch.setattr(process, "largest_variance", lambda self: asked.append(len(self._trials)) or 0.6)
    process.bounds = (1.0, 1.0)
    task = task_of(CAR, horizon=12)
    valid, said = randomly(task), itertools.count(-1)  # the first reply lists the first configurations

    def reply(request):
        return "no idea" if 0 <= next(said) < invalid else valid(request)

    evaluated = itertools.count()
    trials(CAR, 12, reply, lambda i, source: next(evaluated) < failed, task=task, mode="justify")
    assert asked == [known]


def test_justify_lets_a_point_as_good_stand(process):
    process.bounds = (1.0, 1.0)
    assert set(sources(trials(CAR, 9, mode="justify"))) == {"llm"}


def test_constrained_takes_the_hint_while_there_are_draws(monkeypatch):
    asked = []

    class Scripted(GpUcb):
        def hinted(self, x, draws):
            asked.append(draws)
            return super().hinted(x, draws)

    monkeypatch.setattr(module, "GpUcb", Scripted)
    task = task_of(CAR, horizon=11)
    turns = trials(CAR, 11, task=task, mode="constrained")
    assert asked == [10_000, 2500, 1111, 625, 400, 277]
    assert set(sources(turns)[5:]) <= {"gp", "gp-constrained"}
    assert "gp-constrained" in sources(turns)
    monkeypatch.setattr(module._Check, "DRAWS", 1)
    assert set(sources(trials(CAR, 8, mode="constrained"))[5:]) == {"gp"}


# ---------------------------------------------------------------------- what is invalid, or failed


@each_mode
def test_a_hopeless_model_wastes_its_trials_and_the_process_still_works(mode):
    turns = trials(CAR, 12, lambda request: "no idea", mode=mode)
    assert all(isinstance(turn.request, Waste) for turn in turns[:6])
    if mode == "transient":  # T = 7: from t = 3 on it is the process's turn
        assert sources(turns)[-4:] == ["gp"] * 4 or sources(turns)[-4:] == ["random", "gp", "gp", "gp"]
    else:
        assert all(isinstance(turn.request, Waste) for turn in turns)


@pytest.mark.parametrize(("defect", "reply"), INVALID.items())
def test_every_invalid_reply_is_wasted_once_and_nothing_is_evaluated_uncounted(defect, reply):
    X = task_of(CAR).space.sample(5, np.random.default_rng(0))
    task = task_of(CAR, initial=X, losses=-np.arange(5) / 10, horizon=4)
    turns = trials(CAR, 4, lambda request: reply, task=task, mode="justify")
    assert all(isinstance(turn.request, Waste) for turn in turns)
    assert all(turn.request.reason.startswith(f"{defect}: ") for turn in turns)
    assert task.answers == {f"propose:{defect}": 4}


@pytest.mark.parametrize(
    "where", [CAR, FCN, NAS, "continuous", "mixed", pytest.param(XGB, marks=pytest.mark.yahpo)]
)
@each_mode
def test_legal_configurations_only_failures_are_survived_and_a_seed_decides(where, mode):
    d = task_of(where).space.d
    runs = [trials(where, d + 5, fails=lambda i, source: i % 3 == 0, mode=mode) for _ in range(2)]
    assert np.array_equal(*([turn.x for turn in run] for run in runs), equal_nan=True)
    assert set(sources(runs[0])) <= {"llm", "gp", "gp-constrained"}


@each_mode
def test_if_everything_fails_it_goes_on(mode):
    assert len(trials("mixed", 14, fails=lambda i, source: True, mode=mode)) == 14


def test_in_the_engine_a_control_can_stand_in_and_the_budget_is_spent_exactly():
    outcomes = []
    drive_in_engine([engine_run("llinbo", CAR, "random", 12, mode="justify")], outcomes.append)
    [outcome] = outcomes
    assert (outcome.state, outcome.n) == ("ok", 12)
    assert {origin.source for origin in outcome.origins} <= {"initial", "control:random", "gp"}


# ---------------------------------------------------------------------- the process


def observed(where="continuous", n=12, t=3):
    task = task_of(where)
    X = task.space.sample(n, np.random.default_rng(0))
    past = History(task)
    past.add(Evaluated(X, losses_of(where, X)))
    return task, X, past, GpUcb(task, rng(), past, t)


def test_posterior_and_bound_are_those_of_scikit_learn():
    task, X, past, process = observed()
    losses = np.array(past.losses)
    gains = -(losses - losses.mean()) / losses.std()
    kernel = process._kernel + type(process._kernel.k1)(0.0, "fixed")
    library = GaussianProcessRegressor(kernel, alpha=process._noise, optimizer=None).fit(X, gains)
    new = task.space.sample(20, np.random.default_rng(1))
    mean, deviation = library.predict(new, return_std=True)
    root = np.sqrt(2 * np.log(60 * 4 * 4 * np.pi**2))
    assert np.allclose([process.upper(x) for x in new], mean + root * deviation, atol=1e-6)


def test_its_point_has_a_larger_bound_than_any_of_many_draws():
    task, _, _, process = observed()
    best = process.upper(process.point())
    assert best >= max(process.upper(x) for x in task.space.sample(300, np.random.default_rng(5)))


def test_a_hint_is_followed_as_if_its_hopes_were_observed():
    _, _, past, process = observed(t=0)
    process._root_beta = 0.0  # greedy: the mean alone
    hint = np.array([0.9, 0.9, 0.1, 0.9])
    drawn = process.hinted(hint, 10_000)
    assert np.abs(drawn - hint).max() < np.abs(process.point() - hint).max()
    sure = past.configurations[int(np.argmax(past.losses))]  # no draw at the worst point is good
    assert process.hinted(sure, 100) is None


def test_a_failed_evaluation_counts_as_the_worst_seen():
    task, _, past, _ = observed(n=6)
    broken = past.losses.copy()
    broken[2] = float("nan")
    filled = past.losses.copy()
    filled[2] = np.nanmax(broken)
    ends = []
    for losses in (broken, filled):
        past.losses = losses
        ends.append(GpUcb(task, rng(), past, 0).point())
    assert np.array_equal(*ends)


def test_features_of_a_mixed_space():
    task = task_of("mixed")
    process = object.__new__(GpUcb)
    process._space = task.space
    X = task.space.sample(5, np.random.default_rng(0))
    F = process._features(X)
    # subsample, eta, depth, rounds, batch, drop, skip; booster has three; the constant has none.
    assert F.shape == (5, 7 + 3)
    assert np.isfinite(F).all()
    assert (F[:, 7:].sum(axis=1) == 1).all()
