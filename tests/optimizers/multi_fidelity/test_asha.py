import numpy as np

from surrobench.optimizers.multi_fidelity.asha import asha
from surrobench.protocol.requests import Evaluated, Finished, Next, Submit
from surrobench.seeding import stream
from tests.optimizers.driving import epochs
from tests.optimizers.multi_fidelity.test_brackets import run, task_with


def by_hand(task):
    """Drives ASHA step by step: ``finish(ticket, loss)`` returns what the free worker gets."""
    program = asha(task, stream("optimizer", "test"))
    jobs: list[tuple[int, float, float | None]] = []  # by ticket: configuration, fidelity, where it goes on
    known: list[bytes] = []

    def until_it_waits(answer):
        started = []
        request = program.send(answer)
        while isinstance(request, Submit):
            key = request.configuration.tobytes()
            if key not in known:
                known.append(key)
            (value,) = request.fidelity.values()
            jobs.append((known.index(key), value, request.continued_from))
            started.append(jobs[-1])
            request = program.send(len(jobs) - 1)
        assert isinstance(request, Next)
        return started

    def finish(ticket, loss):
        x = np.frombuffer(known[jobs[ticket][0]])
        (started,) = until_it_waits(Finished(ticket, x, loss))
        return started

    return until_it_waits(None), finish


def test_promotions_with_four_workers_by_hand():
    started, finish = by_hand(task_with(epochs(9), workers=4))
    assert started == [(0, 1, None), (1, 1, None), (2, 1, None), (3, 1, None)]  # tickets 0 to 3
    assert finish(1, 0.5) == (4, 1, None)  # ticket 4: a third of one is nobody
    assert finish(0, 0.7) == (5, 1, None)  # 5
    assert finish(3, 0.6) == (1, 3, 1)  # 6: the best of three
    assert finish(2, 0.1) == (2, 3, 1)  # 7: a third of four is one, and that is number 2 now
    assert finish(4, 0.05) == (4, 3, 1)  # 8: and now number 4
    assert finish(5, 0.05) == (5, 3, 1)  # 9: a third of six is two, 4 before 5 as it was drawn first
    # Four are under way on the middle rung.
    assert finish(6, 0.3) == (6, 1, None)  # 10: number 1; nobody is left to promote
    assert finish(7, np.nan) == (7, 1, None)  # 11: number 2 failed
    assert finish(8, 0.4) == (1, 9, 3)  # 12: the failed one counts, so there are three, and 1 is the best
    assert finish(10, 0.05) == (8, 1, None)  # 13: number 6 is as good as 4 and 5, but third of seven
    assert finish(9, 0.3) == (9, 1, None)  # 14: number 5 ties with 1, which was drawn first and is promoted
    assert finish(12, 0.9) == (10, 1, None)  # 15: nothing follows the full fidelity
    assert finish(14, 0.01) == (9, 3, 1)  # 16


def test_what_failed_is_never_promoted():
    trials = run(asha, task_with(epochs(9), workers=4), 40, fails=lambda i: True)
    assert {trial.fidelity for trial in trials} == {1}


def test_a_single_worker_promotes_as_soon_as_a_rung_allows_it():
    trials = run(asha, task_with(epochs(9)), 13, loss=lambda X, fidelity: np.zeros(len(X)))
    ones = [(1, None)] * 3 + [(3, 1)]
    assert [(trial.fidelity, trial.continued_from) for trial in trials] == [*ones, *ones, *ones, (9, 3)]


def test_the_granted_design_starts_and_is_not_evaluated_again_at_full_fidelity():
    X = np.array([[0.2, 0.5], [0.0, 0.1], [0.0, 0.5]])
    initial = Evaluated(X, np.array([0.2, np.nan, 0.0]))
    trials = run(asha, task_with(epochs(9), initial), 60)
    assert [trial.x.tolist() for trial in trials[:2]] == X[[2, 0]].tolist()
    at = [trial.fidelity for trial in trials if trial.x.tolist() == X[2].tolist()]
    assert at == [1, 3]
    assert sum(trial.fidelity == 9 for trial in trials) > 0


def test_with_training_that_cannot_go_on_every_rung_starts_anew():
    trials = run(asha, task_with(epochs(9, resumable=False), workers=4), 30)
    assert {trial.fidelity for trial in trials} == {1, 3, 9}
    assert {trial.continued_from for trial in trials} == {None}


def test_in_simulated_time_a_slow_trial_holds_up_no_other():
    """One configuration takes for ever; the other worker goes on and reaches the full fidelity."""
    task = task_with(epochs(9), workers=2)
    program = asha(task, stream("optimizer", "test"))
    slow = program.send(None)
    fast, request, fidelities = 1, program.send(0), []
    for _ in range(20):
        assert isinstance(request, Submit)
        assert not np.array_equal(request.configuration, slow.configuration)
        fidelities.append(request.fidelity["epochs"])
        assert isinstance(program.send(fast), Next)
        request = program.send(Finished(fast, request.configuration, float(request.configuration[0])))
        fast += 1
    assert 9 in fidelities
