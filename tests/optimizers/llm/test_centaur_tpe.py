import json
import re
from functools import partial

import numpy as np
import optuna
import pytest

from surrobench.engine.loop import drive as drive_in_engine
from surrobench.errors import UsageError
from surrobench.optimizers.classical import tpe_study
from surrobench.optimizers.classical.tpe import tpe
from surrobench.optimizers.kernels.tpe_mixture import good_group
from surrobench.optimizers.llm.centaur_tpe import centaur_tpe
from surrobench.protocol.requests import Waste
from surrobench.seeding import stream
from tests.optimizers.chatting import INVALID, describe, engine_run, losses_of, play, randomly, task_of
from tests.optimizers.driving import batches

CAR, FCN, XGB = "hpobench/mlp/car", "hpolib/fcnet/protein_structure", "yahpo/rbv2_xgboost/16"
each_place = pytest.mark.parametrize(
    "where", [CAR, FCN, "continuous", "mixed", pytest.param(XGB, marks=pytest.mark.yahpo)]
)


def rng():
    return stream("optimizer", "test_centaur_tpe")


def trials(where, n=20, says=None, fails=lambda i, source: False, task=None, **parameters):
    task = task or task_of(where)
    program = centaur_tpe(task, rng(), **parameters)
    return play(program, task, says or randomly(task), n, partial(losses_of, where), fails).turns


@pytest.fixture
def spied(monkeypatch):
    """The study of the run."""
    seen = []

    class Spied(tpe_study.LockstepStudy):
        def __init__(self, *args, **settings):
            super().__init__(*args, **settings)
            seen.append(self)

    monkeypatch.setattr(tpe_study, "LockstepStudy", Spied)
    return seen


def told(study) -> list[float]:
    """The losses of the study's trials, in their order."""
    losses = np.empty(study._history.n)
    losses[study._history.ranking] = study._history._losses[: study._history.n]
    return losses.tolist()


@pytest.mark.parametrize(("ratio", "turns"), [(0.3, [12, 15, 18]), (0.8, [*range(10, 20)]), (0.0, [])])
def test_the_models_turns_are_those_of_centaur(ratio, turns):
    sources = [turn.source for turn in trials(CAR, ratio=ratio)]
    assert sources == ["llm" if i in turns else "tpe" for i in range(20)]


def test_granted_trials_count_as_turns_and_towards_the_random_ones():
    X = task_of(CAR).space.sample(10, np.random.default_rng(0))
    task = task_of(CAR, initial=X, losses=-np.arange(10) / 10)
    turns = trials(CAR, 3, task=task)
    assert [turn.source for turn in turns] == ["tpe", "tpe", "llm"]
    assert "Trials so far: 12\n" in turns[2].prompt
    assert "random" not in turns[2].prompt


def test_the_prompt_is_in_the_published_order():
    prompt, task = trials(FCN, 13)[12].prompt, task_of(FCN)
    parts = [
        task.card.learner,
        task.card.dataset,
        *(f"- {hp.name}: {describe(hp)}" for hp in task.space.hyperparameters),
        "Trials so far: 12\n",
        "It takes the best 2 of 12 trials for the good group",
        "Its own proposal for this trial: ",
        "The best 5 so far",
        "The last 12 trials, oldest first:",
        "Best so far: ",
        "TPE converges: stay near it",
        "as one line of JSON:",
    ]
    places = [prompt.index(part) for part in parts]
    assert places == sorted(places)
    assert "default" not in prompt.lower()


def test_the_good_group_is_the_one_that_tpe_itself_splits_off(spied):
    from optuna.samplers._tpe.sampler import _split_trials, default_gamma
    from optuna.trial import create_trial

    task, sizes = task_of(CAR), []
    answer = randomly(task)

    def says(request):
        prompt = request.messages[0].content
        study = optuna.create_study()
        study.add_trials([create_trial(value=loss) for loss in told(spied[0])])
        finished = study.get_trials()
        good, _ = _split_trials(study, finished, default_gamma(len(finished)))
        good = sorted(good, key=lambda trial: (trial.value, trial.number))
        marked = re.findall(r"^\d+\. (.*) -> (.*) \(good group\)$", prompt, re.M)
        assert [value for _, value in marked] == [f"{-trial.value:.4g}" for trial in good]
        assert f"the best {len(good)} of {len(finished)} trials" in prompt
        assert f"up to a metric of {marked[-1][1]}," in prompt
        sizes.append(len(good))
        return answer(request)

    trials(CAR, 34, says, lambda i, source: i in (12, 21), task=task, ratio=1.0)
    assert sizes[0] == 1
    assert sizes[-1] == good_group(31) == 4


def test_a_good_group_larger_than_top_is_shown_whole_and_no_group_while_tpe_is_random():
    assert "The best 4 so far" in trials(CAR, 34, top=2)[33].prompt
    prompt = trials(CAR, 6, warmup=5, ratio=1.0)[5].prompt
    assert "Its first 10 proposals are random." in prompt
    assert "good group" not in prompt.split("How to use")[0]
    assert "The best" not in trials(CAR, 1, warmup=0, ratio=1.0)[0].prompt


@each_place
def test_a_model_that_repeats_the_proposal_changes_nothing_and_without_turns_it_is_tpe(where, spied):
    task = task_of(where)
    plain = np.concatenate(batches(tpe(task, rng()), partial(losses_of, where), 25)[0])
    turns = trials(where, 25, lambda request: spied[-1]._asked.copy(), task=task, warmup=0, ratio=1.0)
    assert {turn.source for turn in turns} == {"llm"}
    assert np.allclose(np.array([turn.x for turn in turns]), plain, rtol=0, atol=1e-9, equal_nan=True)
    alone = trials(where, 25, ratio=0.0)
    assert np.array_equal(np.array([turn.x for turn in alone]), plain, equal_nan=True)


def test_another_configuration_becomes_a_trial_of_the_study(spied):
    turns = trials(CAR, 14)
    assert told(spied[0]) == [turn.loss for turn in turns[:13]]  # and not what it replaced
    assert spied[0]._history.values[12].tolist() == turns[12].x.tolist()


@pytest.mark.parametrize(("defect", "reply"), INVALID.items())
def test_every_invalid_reply_is_wasted_and_tpe_does_not_learn_from_it(defect, reply, spied):
    turns = trials(CAR, 17, lambda request: reply)
    wasted = [turn for turn in turns if isinstance(turn.request, Waste)]
    assert len(wasted) == 2
    assert all(turn.request.reason.startswith(f"{defect}: ") for turn in wasted)
    assert "Trials so far: 15\n" in wasted[1].prompt
    assert "The last 14 trials" in wasted[1].prompt
    assert spied[0]._history.n == 14


def test_a_trial_of_the_models_that_failed_is_not_told(spied):
    trials(CAR, 16, fails=lambda i, source: source == "llm")  # the last is asked for only
    assert spied[0]._history.n == 15 - 1


def test_an_anonymous_prompt_gives_nothing_away():
    task, real = task_of(FCN, variant="anonymous"), task_of(FCN)
    prompt = trials(FCN, 13, task=task)[12].prompt
    assert json.loads(re.search(r"own proposal for this trial: (.*)", prompt)[1]).keys() == {
        f"x{j}" for j in range(1, 10)
    }
    for word in [real.card.learner, real.card.dataset, "error", "relu", "cosine", *real.space.names]:
        assert word not in prompt


@each_place
@pytest.mark.parametrize("fails", [lambda i, source: i % 3 == 0, lambda i, source: True])
def test_failures_are_survived_and_the_same_seed_gives_the_same_trials(where, fails):
    first, second = ([turn.x for turn in trials(where, 16, fails=fails)] for _ in range(2))
    assert np.array_equal(first, second, equal_nan=True)


def test_a_ratio_that_is_no_share_is_refused():
    with pytest.raises(UsageError, match="centaur-tpe: 0 <= ratio <= 1 must hold"):
        trials(CAR, ratio=2.0)


def test_in_the_engine_a_control_can_stand_in_and_the_budget_is_spent_exactly():
    outcomes = []
    drive_in_engine([engine_run("centaur-tpe", FCN, "random", 17)], outcomes.append)
    [outcome] = outcomes
    assert (outcome.state, outcome.n) == ("ok", 17)
    sources = [origin.source for origin in outcome.origins]
    assert sources == ["initial"] + ["control:random" if i in (12, 15) else "tpe" for i in range(1, 17)]
