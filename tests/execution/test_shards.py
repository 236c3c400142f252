from surrobench.execution.shards import LOCKSTEP_RUNS, SHARD_RUNS, SHARD_SECONDS, make_shards
from surrobench.plan.planning import plan
from tests.studies import parse_suite, suite_text


def shards(method: str, trials: int, seeds: int) -> list[int]:
    """The numbers of runs in the shards of one method beside random search."""
    planned = plan(parse_suite(suite_text(methods=["random", method], trials=trials, seeds=seeds)))
    found = make_shards(planned)
    assert sum(map(len, found)) == len(planned)
    return [len(shard) for shard in found if shard[0].method == method]


def test_runs_that_are_computed_together_stay_together_even_where_they_are_long():
    assert shards("tpe", trials=1000, seeds=80) == [LOCKSTEP_RUNS, LOCKSTEP_RUNS, 80 - 2 * LOCKSTEP_RUNS]
    assert max(shards("cma-es", trials=1000, seeds=80)) < 5


def test_short_runs_fill_a_shard_up_to_its_seconds_or_its_number():
    first = max(shards("tpe", trials=100, seeds=300))
    assert LOCKSTEP_RUNS < first <= SHARD_SECONDS / (100 * 3e-4) + 1
    assert max(shards("grid", trials=2, seeds=300)) == SHARD_RUNS
