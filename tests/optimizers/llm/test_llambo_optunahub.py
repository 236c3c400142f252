from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.errors import UsageError
from surrobench.optimizers.llm.control import controlled
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.protocol.requests import Completion, Evaluate, Evaluated, Waste
from surrobench.space.hyperparameter import Matrix
from tests.optimizers.chatting import Chat, Reply, chat_with, describe, in_turn, randomly, task_of, written

CAR = benchmark("hpobench/mlp/car")
FCNET = "hpolib/fcnet/naval_propulsion"  # six ordinals, three categorical ones
XGBOOST = "yahpo/rbv2_xgboost/16"  # four numbers, ten hyperparameters under conditions, two categorical
SOME = [-0.5, -0.25, -0.75, -0.6, -0.55]


def samples(n: int, seed: int = 7) -> Matrix:
    return CAR.space.sample(n, np.random.default_rng(seed))


def port(propose: Reply | None = None, **settings: Any) -> Chat:
    """On a table, with five trials granted unless told otherwise."""
    of = {key: settings.pop(key) for key in ("invalid", "variant") if key in settings}
    losses = settings.pop("losses", SOME)
    task = task_of("hpobench/mlp/car", samples(len(losses)), losses, **of)
    return chat_with("llambo-optunahub", task, propose or randomly(task), **settings)


def last_configuration(prompt: str) -> str:
    return prompt.rsplit("Configuration: ", 1)[1].splitlines()[0]


def numbers(id_: str, seed: int = 0, **of: Any) -> tuple[Any, Reply]:
    """A task, and replies with random configurations of the part that its prompts show."""
    task = task_of(id_, **of)
    shown = [
        task.shown.names[j]
        for j in range(task.space.d)
        if not task.space.is_categorical[j] and task.space.levels[j] != 1 and not task.space.conditions(j)
    ]
    rng = np.random.default_rng(seed)

    def reply(request: Any) -> str:
        values = task.shown.write(task.space.sample(1, rng)[0])
        return json.dumps({name: values[name] for name in shown})

    return task, reply


# ---------------------------------------------------------------------- the start


def test_it_starts_with_five_random_trials() -> None:
    chat = port(losses=[])
    trials = chat.run(6)
    assert [trial.source for trial in trials] == ["random"] * 5 + ["llm"]
    assert len(chat.batches) == 4  # three rounds of candidates, one of questions


def test_a_granted_design_counts_among_them_and_failed_trials_do_not() -> None:
    chat = port(losses=[-0.5, np.nan], loss=lambda i: np.nan if i == 0 else -0.5)
    assert [trial.source for trial in chat.run(6)] == ["random"] * 5 + ["llm"]
    chat = port()
    assert [trial.source for trial in chat.run(1)] == ["llm"]


# ---------------------------------------------------------------------- candidates


def test_the_sampler_is_shown_what_the_port_shows_in_its_order() -> None:
    chat = port(losses=[*SOME, np.nan])
    chat.run()
    prompt = chat.prompts("propose")[0]
    X = samples(6)
    widths = sorted({chat.task.shown.write(x)["width"] for x in X[:5]})
    parts = [
        "There is a black-box optimization task.",
        CAR.card.dataset,
        *(f"- {hp.name}: {describe(hp)}" for hp in CAR.space.hyperparameters),
        "target performance of 0.8.",
        "at the minimum or maximum of a range, do not recommend rounded values",
        "must not be used again:",
        f"\n- width: {', '.join(map(str, widths))}\n",
        "Note: all configurations below were sampled uniformly at random.",
        "\n\nPerformance: 0.",
        "careful reasoning",
        "\nPerformance: 0.8\nConfiguration:",
    ]
    places = [prompt.index(str(part)) for part in parts]
    assert places == sorted(places)
    assert prompt.endswith(parts[-1])
    for x in X[:5]:
        assert f"Configuration: {written(chat.task, x)}\n" in prompt
    assert written(chat.task, X[5]) not in prompt  # it failed
    assert "failed" not in prompt
    assert "nan" not in prompt
    assert written(chat.task, chat.task.default) not in prompt


@pytest.mark.yahpo
def test_integers_are_named_as_such() -> None:
    task, reply = numbers("yahpo/lcbench/167168")
    chat = chat_with("llambo-optunahub", task, reply)
    chat.run(6)
    [line] = [line for line in chat.prompts("propose")[0].splitlines() if line.startswith("Integers only")]
    assert "batch_size" in line
    assert "learning_rate" not in line


def test_the_note_on_random_trials_is_there_while_they_are_half_of_all() -> None:
    chat = port(rounds=1)
    chat.run(7)
    first = chat.prompts("propose")[::2]
    assert "all configurations below" in first[0]
    assert "about 83 % of the configurations below" in first[1]
    assert "about 50 % of the configurations below" in first[5]
    assert "Note:" not in first[6]


def test_as_published_one_reply_per_template_and_nothing_of_sampling_is_sent() -> None:
    chat = port()
    chat.run()
    assert {request.n for request in chat.questions} == {1}
    assert all(request.sampling == {} for request in chat.questions)
    assert chat.batches == [2, 2, 2, 12]  # until five are kept; two classes of each of the six
    assert chat.of("classify")[0].schema == {"enum": [0, 1]}
    assert chat.task.answers == {"propose:valid": 6, "classify:valid": 12}


def test_rounds_end_after_the_eleventh_and_what_is_kept_is_used() -> None:
    X = samples(2, seed=1)
    task = task_of("hpobench/mlp/car", samples(5), SOME)
    chat = chat_with("llambo-optunahub", task, in_turn(*(written(task, x) for x in X)))
    [trial] = chat.run()
    assert chat.batches == [2] * 11 + [4]
    assert trial.source == "llm"


def test_the_target_follows_the_ports_ladder_to_its_end() -> None:
    assert "target performance of 0.7505." in _first_prompt(alpha=-0.2)  # alpha becomes 0.001
    assert "target performance of 0.9999." in _first_prompt(losses=[-1.0, -0.5, -0.4, -0.3, -0.2])
    # 0.99 + 0.01 * 0.79 is below the limit, 0.99 + 0.1 * 0.79 is not
    assert "target performance of 0.9979." in _first_prompt(losses=[-0.99, -0.5, -0.4, -0.3, -0.2])


def _first_prompt(**settings: Any) -> str:
    chat = port(**settings)
    chat.run()
    return chat.prompts("propose")[0]


# ---------------------------------------------------------------------- the surrogate


def test_the_candidate_most_often_called_good_is_evaluated_of_equals_the_first() -> None:
    X = samples(5, seed=1)
    task = task_of("hpobench/mlp/car", samples(5), SOME)
    names = [written(task, x) for x in X]
    said = dict(zip(names, (["0", "0"], ["1", "0"], ["1", "1"], ["0", "1"], ["1", "1"]), strict=True))
    answers = {name: in_turn(*values) for name, values in said.items()}
    chat = chat_with(
        "llambo-optunahub",
        task,
        in_turn(*names),
        classify=lambda request: answers[last_configuration(request.messages[0].content)](request),
    )
    [trial] = chat.run()
    assert isinstance(trial, Evaluate)
    assert np.array_equal(trial.configurations[0], X[2])
    prompt = chat.prompts("classify")[0]
    assert "best-performing 25 %" in prompt
    assert "- width" not in prompt  # the ranges are shown to the sampler alone
    for x, label in zip(samples(5), "00100", strict=True):
        assert f"Configuration: {written(task, x)}\nClassification: {label}\n" in prompt


def test_the_discriminative_surrogate_is_there_too() -> None:
    X = samples(5, seed=1)
    task = task_of("hpobench/mlp/car", samples(5), SOME)
    names = [written(task, x) for x in X]
    said = dict(zip(names, ("0.5", "0.6", "0.7", "0.9", "0.8"), strict=True))
    chat = chat_with(
        "llambo-optunahub",
        task,
        in_turn(*names),
        predict=lambda request: said[last_configuration(request.messages[0].content)],
        surrogate="discriminative",
    )
    [trial] = chat.run()
    assert isinstance(trial, Evaluate)
    assert np.array_equal(trial.configurations[0], X[3])
    assert not chat.of("classify")


# ---------------------------------------------------------------------- what is hidden


def test_categorical_hyperparameters_are_hidden_and_drawn() -> None:
    task, reply = numbers(FCNET)
    chat = chat_with("llambo-optunahub", task, reply, loss=lambda i: 0.1 * i)
    trials = chat.run(12)
    text = "".join(message.content for request in chat.questions for message in request.messages)
    assert "activation_fn" not in text
    assert "lr_schedule" not in text
    proposed = [trial for trial in trials if trial.source == "llm"]
    drawn = ("drawn:activation_fn_1", "drawn:activation_fn_2", "drawn:lr_schedule")
    assert {trial.repairs for trial in proposed if isinstance(trial, Evaluate)} == {drawn}
    column = task.space.column("activation_fn_1")
    values = {trial.configurations[0, column] for trial in proposed if isinstance(trial, Evaluate)}
    assert len(values) > 1


@pytest.mark.parametrize("variant", ["full", "anonymous"])
def test_what_a_model_says_of_what_is_hidden_is_dropped_and_recorded(variant: Any) -> None:
    task = task_of(FCNET, variant=variant)
    said = randomly(task)  # of the whole space
    chat = chat_with(
        "llambo-optunahub",
        task,
        lambda request: Completion(said(request), "stop", 1, 1, 0.0, where="0.0.0"),
        loss=lambda i: 0.1 * i,
    )
    proposed = [trial for trial in chat.run(9) if trial.source == "llm"]
    names = ("activation_fn_1", "activation_fn_2", "lr_schedule")
    expected = (*(f"dropped:{name}" for name in names), *(f"drawn:{name}" for name in names))
    assert {trial.repairs for trial in proposed if isinstance(trial, Evaluate)} == {expected}


@pytest.mark.yahpo
@pytest.mark.parametrize("variant", ["full", "anonymous", "misleading"])
def test_hyperparameters_under_conditions_are_drawn_too(variant: Any) -> None:
    task, reply = numbers(XGBOOST, variant=variant)
    chat = chat_with("llambo-optunahub", task, reply, loss=lambda i: 0.1 * i)
    trials = chat.run(12)  # that they are legal is checked there
    assert task.answers["propose:valid"] == 7 * 6
    configuration = json.loads(last_configuration(chat.prompts("classify")[0]))
    assert len(configuration) == 4
    assert set(configuration) < set(task.shown.names)
    assert all("drawn:booster" in trial.repairs for trial in trials[5:] if isinstance(trial, Evaluate))


def test_a_space_without_numbers_is_an_error_that_names_the_way_out() -> None:
    task = task_of("nasbench201/cell/cifar10")
    with pytest.raises(UsageError, match="hides categorical hyperparameters") as error:
        chat_with("llambo-optunahub", task, randomly(task)).run()
    assert "Use llambo" in str(error.value.remedy)


@pytest.mark.parametrize("control", ["random", "default", "tpe"])
def test_a_slot_control_which_knows_the_whole_space_proposes_what_is_valid(control: Any) -> None:
    task = task_of(FCNET)
    entry = OPTIMIZERS["llambo-optunahub"]
    steps = entry.function(task, np.random.default_rng(0), **entry.resolve({}))
    program = controlled(steps, task, control, np.random.default_rng(1))
    sources, repairs, answer = [], list[str](), None
    for i in range(8):
        request = program.send(answer)
        assert isinstance(request, Evaluate)
        sources.append(request.source)
        answer = Evaluated(request.configurations, np.array([0.1 * i]))
        repairs += request.repairs
    assert sources == ["random"] * 5 + [f"control:{control}"] * 3
    assert {repair.partition(":")[0] for repair in repairs} == {"drawn"}
    assert set(task.answers) <= {"propose:valid", "propose:duplicate", "classify:valid"}


def test_the_anonymous_variant_gives_nothing_away() -> None:
    chat = port(variant="anonymous")
    chat.run()
    text = "".join(message.content for request in chat.questions for message in request.messages)
    hidden = [*CAR.space.names, CAR.card.dataset, CAR.card.learner, CAR.card.metric, "accuracy", "car "]
    assert not [word for word in hidden if str(word) in text]
    assert "- x1: " in text


# ---------------------------------------------------------------------- invalid replies


GOOD = json.loads(written(task_of("hpobench/mlp/car"), samples(1, seed=2)[0]))
INVALID = {
    "unparsable": "I would try a wider network.",
    "missing": json.dumps({key: value for key, value in GOOD.items() if key != "alpha"}),
    "unknown-name": json.dumps({"dropout": 0.1}),
    "out-of-range": json.dumps({**GOOD, "width": 99999}),
    "truncated": Completion('{"width": 6', "length", 1, 1, 0.0),
    "refused": Completion("I cannot help with that.", "refusal", 1, 1, 0.0),
    "duplicate": written(task_of("hpobench/mlp/car"), samples(1)[0]),
}
each_defect = pytest.mark.parametrize("defect", INVALID)


@each_defect
def test_an_invalid_candidate_is_left_out(defect: str) -> None:
    valid = written(task_of("hpobench/mlp/car"), samples(1, seed=1)[0])
    chat = port(in_turn(INVALID[defect], valid))
    [trial] = chat.run()
    assert isinstance(trial, Evaluate)
    assert trial.source == "llm"
    assert np.array_equal(trial.configurations, samples(1, seed=1))
    assert chat.task.answers == {f"propose:{defect}": 11, "propose:valid": 11}


@each_defect
def test_where_none_is_kept_the_fallback_has_a_source_of_its_own_and_its_reason(defect: str) -> None:
    chat = port(lambda request: INVALID[defect])
    [trial] = chat.run()
    assert isinstance(trial, Evaluate)
    assert (trial.source, trial.repairs, trial.reply) == ("fallback", (f"fallback:{defect}",), "")
    assert chat.task.answers == {f"propose:{defect}": 22}
    assert not chat.of("classify")


@each_defect
def test_without_fallback_a_trial_is_wasted(defect: str) -> None:
    chat = port(lambda request: INVALID[defect], fallback=False)
    [trial] = chat.run()
    assert isinstance(trial, Waste)
    assert trial.reason.startswith(f"{defect}: ")
    assert trial.source == "llm"


def test_the_fallback_draws_from_the_whole_space_and_another_each_time() -> None:
    task = task_of(FCNET)
    chat = chat_with("llambo-optunahub", task, lambda request: "no", loss=lambda i: 0.1 * i)
    trials = chat.run(15)[5:]
    assert {trial.source for trial in trials} == {"fallback"}
    X = np.concatenate([trial.configurations for trial in trials if isinstance(trial, Evaluate)])
    assert len(np.unique(X, axis=0)) == 10


def test_with_clip_a_candidate_is_mended_and_says_so() -> None:
    chat = port(lambda request: INVALID["out-of-range"], invalid="clip")
    [trial] = chat.run()
    assert isinstance(trial, Evaluate)
    assert trial.repairs == ("clipped:width",)


def test_the_same_seed_gives_the_same_prompts_and_another_one_others() -> None:
    asked = []
    for seed in (0, 0, 1):
        chat = port(losses=[], seed=seed)
        chat.run(7)
        asked.append([request.messages for request in chat.questions])
    assert asked[0] == asked[1] != asked[2]


@pytest.mark.parametrize(("name", "value"), [("n_initial", 0), ("templates", 0), ("surrogate", "forest")])
def test_a_parameter_without_a_meaning_is_an_error(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"llambo-optunahub: {name} = 0|Unknown {name} 'forest'"):
        port(**{name: value}).run()


@pytest.mark.parametrize("variant", ["full", "anonymous", "misleading"])
def test_the_view_of_a_part_writes_and_reads_what_the_whole_does(variant: Any) -> None:
    task = task_of(FCNET, variant=variant)
    columns = [5, 0, 3]
    part = task.shown.only(columns)
    places = [task.space.column(name) for name in part.space.names]
    assert sorted(places) == sorted(columns)
    for x in task.space.sample(20, np.random.default_rng(0)):
        whole = task.shown.write(x)
        assert part.write(x[places]) == {task.shown.names[j]: whole[task.shown.names[j]] for j in places}
    for j, place in enumerate(places):
        assert part.to_vector(j, 0.0) == task.shown.to_vector(place, 0.0)
        assert part.abouts[j] == task.shown.abouts[place]
