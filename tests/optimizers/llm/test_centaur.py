import json
import re
from functools import partial
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from cmaes import CMA

from surrobench.engine.loop import drive as drive_in_engine
from surrobench.errors import UsageError
from surrobench.optimizers.base import Task
from surrobench.optimizers.classical.cma_es import Restarting, cma_es
from surrobench.optimizers.llm import centaur as module
from surrobench.optimizers.llm.centaur import centaur, is_models_turn
from surrobench.optimizers.llm.history import History
from surrobench.protocol.requests import Evaluated, Waste
from surrobench.seeding import stream
from tests.optimizers.chatting import (
    INVALID,
    describe,
    engine_run,
    exactly,
    losses_of,
    play,
    randomly,
    task_of,
)
from tests.optimizers.driving import batches

CAR, FCN, NAS, XGB = (
    "hpobench/mlp/car",
    "hpolib/fcnet/protein_structure",
    "nasbench201/cell/cifar10",
    "yahpo/rbv2_xgboost/16",
)
PLACES = [CAR, FCN, NAS, "continuous", "mixed", pytest.param(XGB, marks=pytest.mark.yahpo)]
each_place = pytest.mark.parametrize("where", PLACES)
INJECTIONS = get_args(module.Injection)
each_injection = pytest.mark.parametrize("injection", INJECTIONS)


def rng():
    return stream("optimizer", "test_centaur")


def trials(where, n=20, says=None, fails=lambda i, source: False, task=None, **parameters):
    task = task or task_of(where)
    program = centaur(task, rng(), **parameters)
    return play(program, task, says or randomly(task), n, partial(losses_of, where), fails).turns


@pytest.fixture
def spied(monkeypatch):
    """The CMA-ES of the run and its samples."""

    seen = []

    class Spied(Restarting):
        def __init__(self, *args):
            super().__init__(*args)
            seen.append(self)
            self.samples = []

        def draw(self):
            self.samples.append(super().draw())
            return self.samples[-1]

    monkeypatch.setattr(module, "Restarting", Spied)
    return seen


# ---------------------------------------------------------------------- whose turn it is


@pytest.mark.parametrize(
    ("parameters", "first", "every"),
    [
        ({}, 12, 3),
        ({"ratio": 0.3}, 12, 3),
        ({"ratio": 0.8}, 10, 1),
        ({"ratio": 0.5}, 10, 2),
        ({"ratio": 0.1}, 10, 10),
        ({"ratio": 1.0, "warmup": 0}, 0, 1),
        ({"ratio": 0.0}, 99, 1),
        ({"warmup": 13}, 15, 3),
    ],
)
def test_the_models_turns_are_the_published_ones(parameters, first, every):
    turns = [turn.source for turn in trials(CAR, 32, **parameters)]
    assert turns == ["llm" if i >= first and (i - first) % every == 0 else "cma-es" for i in range(32)]


def test_granted_trials_count_as_turns():
    task = task_of(CAR)
    X = task.space.sample(2, np.random.default_rng(0))
    granted = task_of(CAR, initial=X, losses=np.array([-0.5, np.nan]))
    turns = trials(CAR, 14, task=granted)
    assert [i for i, turn in enumerate(turns) if turn.source == "llm"] == [10, 13]
    assert "Trials so far: 12\n" in turns[10].prompt


def test_the_model_is_asked_on_its_turns_only():
    assert [bool(turn.prompt) for turn in trials(CAR)] == [i in (12, 15, 18) for i in range(20)]


@pytest.mark.parametrize("ratio", [-0.1, 1.1])
def test_a_ratio_that_is_no_share_is_refused(ratio):
    with pytest.raises(UsageError, match="0 <= ratio <= 1 must hold"):
        trials(CAR, ratio=ratio)


# ---------------------------------------------------------------------- what the prompt says


def test_the_prompt_is_in_the_published_order():
    turns = trials(FCN, 13)
    prompt, task = turns[12].prompt, task_of(FCN)
    parts = [
        task.card.learner,
        task.card.dataset,
        "validation mean squared error, lower is better",
        *(f"- {hp.name}: {describe(hp)}" for hp in task.space.hyperparameters),
        "Trials so far: 12\n",
        "sigma: ",
        "Mean: ",
        "Probabilities of its categories: ",
        "Its own proposal for this trial: ",
        "The best 5 so far",
        "Matrix C",
        "The last 12 trials, oldest first:",
        "Best so far: ",
        "stay near its mean",
        "as one line of JSON:",
    ]
    places = [prompt.index(part) for part in parts]
    assert places == sorted(places)
    assert prompt.endswith("as one line of JSON:")
    assert "default" not in prompt.lower()


def library_state(strategy, space):
    """Mean, sigma and C of the library's object itself, in the order of the space's columns."""
    library = strategy.strategy.library
    held = getattr(library, "_cma", library)
    searched = np.flatnonzero(space.levels != 1)
    if type(library).__name__ == "CatCMAwM":
        real = [j for j in searched if space.is_continuous[j]]
        whole = [j for j in searched if not space.is_continuous[j] and not space.is_categorical[j]]
        order = np.argsort([*real, *whole])
        columns = np.array([*real, *whole])[order]
    else:
        order, columns = np.arange(len(searched)), searched
    return columns, held._mean[order], held._sigma, held._C[np.ix_(order, order)]


@pytest.mark.parametrize(
    "where", [CAR, FCN, "continuous", "mixed", pytest.param(XGB, marks=pytest.mark.yahpo)]
)
def test_mean_sigma_and_covariance_are_the_librarys_to_the_printed_digits(where, spied):
    task, found = task_of(where), []
    answer = randomly(task)

    def says(request):
        columns, mean, sigma, C = library_state(spied[0], task.space)
        names = [task.space.names[j] for j in columns]
        prompt = request.messages[0].content
        assert f"sigma: {round(sigma, 4)} (smaller" in prompt
        shown = json.loads(re.search(r"^Mean: (.*)$", prompt, re.M)[1])
        assert list(shown) == names
        assert np.allclose(list(shown.values()), mean, rtol=0, atol=5.1e-5)
        rows = prompt.split("in the order of the rows:\n")[1].split("\n")[: len(names)]
        assert [row.split(": ")[0] for row in rows] == names
        printed = np.array([[float(c) for c in row.split(": ")[1].split()] for row in rows])
        assert np.allclose(printed, C, rtol=0, atol=5.1e-5)
        found.append(C.copy())
        return answer(request)

    trials(where, 60, says, task=task)
    assert len(found) == 16
    assert not np.allclose(found[-1], np.eye(len(found[-1])), atol=1e-3)
    assert not np.allclose(found[-1], found[0], atol=1e-3)


def test_the_probabilities_of_categories_are_the_librarys(spied):
    task = task_of(NAS)
    answer = randomly(task)

    def says(request):
        prompt = request.messages[0].content
        shown = json.loads(re.search(r"^Probabilities of its categories: (.*)$", prompt, re.M)[1])
        q = spied[0].strategy.library._q
        assert np.allclose([list(values.values()) for values in shown.values()], q, rtol=0, atol=5.1e-5)
        assert list(shown["Op0"]) == ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
        assert "sigma" not in prompt
        return answer(request)

    trials(NAS, 30, says, task=task)


def test_the_state_shown_is_that_of_the_optimizer_now_and_its_proposal_is_the_sample(spied):
    task = task_of(CAR)
    answer = randomly(task)

    def says(request):
        own = json.dumps(task.shown.write(spied[0].samples[-1].x))
        assert f"Its own proposal for this trial: {own}\n" in request.messages[0].content
        return answer(request)

    trials(CAR, 40, says, task=task)


def test_the_best_and_the_last_trials_are_shown():
    turns = trials(CAR, 40, history=7, top=4, fails=lambda i, source: i == 33)
    past = History(task_of(CAR))
    for turn in turns[:39]:
        past.add(Evaluated(turn.x[None, :], np.array([turn.loss])))
    lines = [past.line(i) for i in range(39)]
    prompt = turns[39].prompt
    order = np.argsort([turn.loss for turn in turns[:39]], kind="stable")[:4]
    best = "\n".join(f"{i}. {lines[j]}" for i, j in enumerate(order, 1))
    assert f"The best 4 so far, each as configuration -> metric:\n{best}\nMatrix C" in prompt
    last = "\n".join(lines[32:39])
    assert f"The last 7 trials, oldest first:\n{last}\n\nBest so far: {lines[order[0]]}\n" in prompt
    assert " -> failed" in last


def test_before_any_trial_the_prompt_has_no_empty_lists():
    prompt = trials(CAR, 1, warmup=0, ratio=1.0)[0].prompt
    assert "Trials so far: 0\n" in prompt
    assert "The best" not in prompt
    assert "The last" not in prompt
    assert "Best so far" not in prompt


def test_the_request_carries_the_sampling_and_the_schema():
    requests = []

    def says(request):
        requests.append(request)
        return "{}"

    trials(CAR, 13, says)
    [request] = requests
    assert request.purpose == "propose"
    assert request.sampling == {"temperature": 0.7, "max_tokens": 2048}
    assert set(request.schema["properties"]) == set(task_of(CAR).space.names)


@each_place
def test_an_anonymous_prompt_gives_nothing_away(where):
    task, real = task_of(where, variant="anonymous"), task_of(where).card
    for turn in trials(where, 19, task=task):
        if not turn.prompt:
            continue
        assert "x1: " in turn.prompt
        assert "Metric: y" in turn.prompt
        hidden = [real.learner, real.dataset, real.task, "loss", "accuracy", "error"]
        names = [name for name in task.space.names if not re.fullmatch(r"x\d", name)]
        choices = [str(c) for hp in task.space.hyperparameters for c in getattr(hp, "choices", ())]
        for word in [*hidden, *names, *choices]:
            assert word is None or not re.search(rf"\b{re.escape(word)}\b", turn.prompt), word


# ---------------------------------------------------------------------- the state is shared


@each_place
@pytest.mark.parametrize("injection", ["published", "clipped"])
def test_a_model_that_repeats_the_proposal_changes_nothing(where, injection, spied):
    task = task_of(where)
    loss = partial(losses_of, where)
    turns = trials(
        where,
        45,
        lambda request: spied[0].samples[-1].x,
        task=task,
        warmup=0,
        ratio=1.0,
        injection=injection,
    )
    assert {turn.source for turn in turns} == {"llm"}
    plain = np.concatenate(batches(cma_es(task, rng()), loss, 45)[0])[:45]
    assert np.allclose(np.array([turn.x for turn in turns]), plain, rtol=0, atol=1e-9, equal_nan=True)


@each_place
def test_without_turns_of_the_model_it_is_cma_es(where):
    task = task_of(where)
    plain = np.concatenate(batches(cma_es(task, rng()), partial(losses_of, where), 40)[0])[:40]
    turns = trials(where, 40, ratio=0.0)
    assert np.array_equal(np.array([turn.x for turn in turns]), plain, equal_nan=True)


def test_a_granted_design_moves_the_mean():
    task = task_of(CAR)
    X = task.space.sample(3, np.random.default_rng(1))
    granted = task_of(CAR, X, [-0.1, -0.9, np.nan])
    turns = trials(CAR, 24, task=granted, ratio=0.0)
    plain = np.concatenate(batches(cma_es(granted, rng()), partial(losses_of, CAR), 24)[0])
    assert np.array_equal([turn.x for turn in turns], plain)
    assert not np.array_equal([turn.x for turn in turns], [turn.x for turn in trials(CAR, 24, ratio=0.0)])


CORNER = np.array([1.0, 0.0, 1.0, 0.0])


def by_hand(n, injection, what="far"):
    """The samples of CMA-ES in the ``continuous`` space, told as each injection says; and its losses."""
    loss = partial(losses_of, "continuous")
    seed = int(rng().integers(2**32))
    library = CMA(np.full(4, 0.5), 1 / 6, np.array([[0.0, 1.0]] * 4), seed=seed, population_size=8)
    own, generation, worst = [], [], -np.inf
    for t in range(n):
        x = library.ask()
        told = x
        if is_models_turn(t, 10, 0.3):
            value = loss(CORNER[None, :])[0] if what == "far" else np.nan
            told = x if what == "invalid" else CORNER
            if injection == "clipped":
                told = clipped(library, CORNER) if what == "far" else None
            if injection == "untold":
                told = None
        else:
            own.append(x)
            value = loss(x[None, :])[0]
        if told is not None:
            generation.append((told, value))
        if len(generation) == 8:
            worst = np.nanmax([worst, *(v for _, v in generation)])
            library.tell([(u, worst if np.isnan(v) else v) for u, v in generation])
            generation = []
    return np.array(own)


def clipped(library, x):
    """By the formula: at most sqrt(n) + 2n / (n + 2) from the mean, by Mahalanobis."""
    y = (x - library._mean) / library._sigma
    length = np.sqrt(y @ np.linalg.inv(library._C) @ y)
    return library._mean + library._sigma * y * min(1.0, (2 + 8 / 6) / length)


@each_injection
@pytest.mark.parametrize("what", ["far", "crashed", "invalid"])
def test_what_cma_es_hears_of_the_models_turns(injection, what):
    turns = trials(
        "continuous",
        70,
        lambda request: "no idea" if what == "invalid" else CORNER,
        lambda i, source: source == "llm" and what == "crashed",
        injection=injection,
    )
    own = np.array([turn.x for turn in turns if turn.source == "cma-es"])
    assert len(own) == 50
    assert np.allclose(own, by_hand(70, injection, what), rtol=0, atol=1e-12)


def test_the_injections_differ():
    runs = [by_hand(70, injection) for injection in INJECTIONS]
    for one, other in [*pairwise(runs), (runs[0], runs[2])]:
        assert np.array_equal(one[:12], other[:12])
        assert not np.array_equal(one, other)


def test_clipping_keeps_a_corner_from_dragging_the_mean(spied):
    """A far point that ranks best is as harmful as a crash, METHODS: four of them moved the mean by 0.46."""

    def shift(injection):
        spied.clear()
        task = task_of("continuous")
        program = centaur(task, rng(), warmup=0, ratio=0.5, injection=injection)
        play(program, task, lambda request: CORNER, 9, lambda X: np.abs(X - CORNER).sum(axis=1))
        return np.abs(spied[0].state().mean - 0.5).max()

    assert shift("untold") == 0.0  # four samples of its own are no generation
    assert 0.02 < shift("clipped") < 0.8 * shift("published")


@each_injection
@pytest.mark.parametrize(("defect", "reply"), INVALID.items())
def test_every_invalid_reply_is_wasted_and_leaves_no_trace_in_the_prompt(injection, defect, reply):
    turns = trials(CAR, 31, lambda request: reply, injection=injection)
    wasted = [turn for turn in turns if isinstance(turn.request, Waste)]
    assert len(wasted) == 7
    assert all(turn.source == "llm" and turn.request.reason.startswith(f"{defect}: ") for turn in wasted)
    assert all(turn.request.reply for turn in wasted)
    assert wasted[0].prompt.count(" -> ") == 5 + 12 + 1 + 1  # and one in the explanation
    assert "Trials so far: 15\n" in wasted[1].prompt
    assert "The last 14 trials" in wasted[1].prompt


def test_only_the_published_rule_punishes_cma_es_for_an_invalid_reply(spied):
    def taken(injection):
        spied.clear()
        trials(CAR, 14, lambda request: "no", injection=injection)  # the last is asked for only
        return spied[0]._taken, spied[0].samples[12].told

    waiting, sample = taken("published")
    assert len(waiting) == 13 - 8
    assert np.array_equal(waiting[-1][0], sample)
    assert np.isnan(waiting[-1][1])
    for injection in ("clipped", "untold"):
        assert len(taken(injection)[0]) == 12 - 8


def test_retry_asks_again_and_clip_mends():
    said = iter(["no", exactly(task_of(CAR).space, task_of(CAR).space.default)])
    turns = trials(CAR, 13, lambda request: next(said), task=task_of(CAR, invalid="retry:1"))
    assert turns[12].source == "llm"
    assert np.isfinite(turns[12].loss)
    task = task_of(CAR, invalid="clip")
    [*_, last] = trials(CAR, 13, lambda request: '{"width": 99999}', task=task)
    assert "clipped:width" in last.request.repairs
    assert task.answers == {"propose:valid": 1}


# ---------------------------------------------------------------------- foreign points


def restarting(where, generations=3):
    task = task_of(where)
    loss = partial(losses_of, where)
    strategy = Restarting(task, rng(), 1 / 6)
    for _ in range(generations):
        X = strategy.ask()
        strategy.tell(X, loss(X))
    return task.space, strategy


def test_a_foreign_point_of_a_grid_is_told_where_the_margin_encodes_it():
    space, strategy = restarting(CAR, 20)
    library = strategy.strategy.library
    assert not np.allclose(library._A, 1.0)
    for x in space.sample(50, np.random.default_rng(0)):
        drawn = strategy.draw()
        told = strategy.instead(drawn, x)
        assert np.allclose(library._encode_discrete_params(told), space.to_unit(x[None, :])[0])
        same = x == drawn.x
        assert np.array_equal(told[same], drawn.told[same])
        assert not np.array_equal(told[~same], drawn.told[~same]) or same.all()


@pytest.mark.parametrize("where", [FCN, "mixed", pytest.param(XGB, marks=pytest.mark.yahpo)])
def test_a_foreign_point_of_a_mixed_space_is_told_with_its_categories(where):
    space, strategy = restarting(where)
    searched = np.flatnonzero(space.levels != 1)
    library = strategy.strategy.library
    for x in space.sample(50, np.random.default_rng(0)):
        drawn = strategy.draw()
        told = strategy.instead(drawn, x)
        u = space.to_unit(x[None, :])[0]
        active = ~np.isnan(u)
        categories = [j for j in searched if space.is_categorical[j]]
        whole = [j for j in searched if not space.is_categorical[j] and space.levels[j] > 0]
        real = [j for j in searched if space.is_continuous[j]]
        assert told.c.sum(axis=1).tolist() == [1] * len(categories)
        assert np.argmax(told.c, axis=1).tolist() == [int(x[j]) for j in categories]
        at = [k for k, j in enumerate(real) if active[j]]
        assert np.allclose(told._v_raw[: len(real)][at], [u[real[k]] for k in at])
        encoded = library._discretization(told._v_raw[len(real) :])
        at = [k for k, j in enumerate(whole) if active[j]]
        assert np.allclose(encoded[at], [u[whole[k]] for k in at])
        for k, j in enumerate([*real, *whole]):
            if not active[j]:  # as of CMA-ES's own samples: where it was drawn
                assert told._v_raw[k] == drawn.told._v_raw[k]


@pytest.mark.parametrize("where", [CAR, FCN, "continuous", "mixed"])
def test_a_clipped_step_has_the_length_of_the_paper(where):
    space, strategy = restarting(where)
    held = strategy.state()
    library = strategy.strategy.library
    n = len(held.mean)
    limit = np.sqrt(n) + 2 * n / (n + 2)

    def length(told):
        if type(library).__name__ == "CatCMAwM":
            y = (told._v_raw - library._mean) / library._A / library._sigma
            return np.sqrt(y @ np.linalg.inv(library._C) @ y)
        core = getattr(library, "_cma", library)
        y = (told - core._mean) / core._sigma
        return np.sqrt(y @ np.linalg.inv(core._C) @ y)

    some = []
    for x in space.sample(200, np.random.default_rng(0)):
        drawn = strategy.draw()
        before, after = length(strategy.instead(drawn, x)), length(strategy.instead(drawn, x, clip=True))
        assert after == pytest.approx(min(before, limit))
        some.append(before > limit)
    assert any(some)


# ---------------------------------------------------------------------- what every method promises


@each_place
@each_injection
@pytest.mark.parametrize(
    "fails",
    [lambda i, source: False, lambda i, source: i % 3 == 0, lambda i, source: i < 20, lambda i, source: True],
    ids=["none", "some", "first", "all"],
)
def test_legal_configurations_only_and_failures_are_survived(where, injection, fails):
    turns = trials(where, 32, fails=fails, injection=injection)
    assert sum(turn.source == "llm" for turn in turns) == 7


@each_place
def test_the_same_seed_gives_the_same_trials(where):
    first, second = ([turn.x for turn in trials(where, 24)] for _ in range(2))
    assert np.array_equal(first, second, equal_nan=True)


@pytest.mark.parametrize("control", ["random", "default", "tpe"])
@pytest.mark.parametrize("where", [CAR, FCN, NAS, pytest.param(XGB, marks=pytest.mark.yahpo)])
def test_in_the_engine_a_control_can_stand_in_and_the_budget_is_spent_exactly(where, control):
    outcomes = []
    drive_in_engine([engine_run("centaur", where, control, 17)], outcomes.append)
    [outcome] = outcomes
    assert (outcome.state, outcome.n) == ("ok", 17)
    sources = [origin.source for origin in outcome.origins]
    assert sources == ["initial"] + [
        f"control:{control}" if i in (12, 15) else "cma-es" for i in range(1, 17)
    ]
    assert sum(outcome.answers.values()) == 2
    assert set(outcome.answers) <= {"propose:valid", "propose:duplicate"}


def test_the_task_is_not_changed():
    task = task_of(CAR)
    assert isinstance(task, Task)
    trials(CAR, 20, task=task)
    assert len(task.initial.losses) == 0
    assert task.answers.total() == 3
