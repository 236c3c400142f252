from dataclasses import replace
from json import dumps, loads

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrobench.plan.planning import plan
from surrobench.results.run_records import Records, RunRecord, _decoded, _encoded
from surrobench.suite.loading import parse_suite
from tests.studies import MLP, NAS, suite_text


@pytest.fixture(scope="module")
def records():
    runs = plan(parse_suite(suite_text(MLP, NAS, methods=("random", "sobol"), seeds=3)))
    return [
        RunRecord(
            replace(run, equivalents=2.5 if i % 3 else None, variant="anonymous" if i % 2 else None),
            "failed" if i == 4 else "ok",
            "",
            i,
            answers={"propose:valid": i, "predict:unparsable": 1} if i > 1 else {},
            served=(("m", f"fp_{i}"),) if i % 2 else (),
        )
        for i, run in enumerate(runs)
    ]


def test_records_are_the_same_after_they_were_stored(records):
    stored = Records.from_json(loads(dumps(Records.of(records).as_json())))
    assert list(stored) == records
    assert stored[2:4] == records[2:4]
    assert stored.ids == [record.run.id for record in records]
    assert stored.spent.tolist() == list(range(len(records)))


def test_what_ranking_needs_is_there_without_an_object_each(records):
    frame = Records.of(records).frame()
    assert frame["state"].to_list() == [record.state for record in records]
    assert frame["equivalents"].to_list() == [record.run.equivalents for record in records]
    assert frame["spent"].to_list() == [record.trials for record in records]
    assert Records.of([]).frame().schema == frame.schema


def test_a_list_of_records_as_older_versions_stored_them_is_read(records):
    old = [
        {**record.run.as_dict(), "state": record.state, "error": record.error, "spent": record.trials}
        for record in records
    ]
    assert list(Records.from_json(old)) == [replace(record, answers={}, served=()) for record in records]


def test_records_of_before_variants_and_verdicts_are_read(records):
    stored = Records.of(records).as_json()
    for name in ("variant", "answers"):
        del stored["columns"][name]
    found = list(Records.from_json(loads(dumps(stored))))
    assert [record.run.shows for record in found] == ["full"] * len(records)
    assert found == [replace(r, run=replace(r.run, variant=None), answers={}) for r in records]


@pytest.mark.parametrize(
    "stored",
    [{}, {"n": 1}, {"n": 2, "columns": {"id": ["a"]}}, [{"id": "a"}], {"n": 1, "columns": {"id": {}}}],
)
def test_what_is_no_record_is_an_error_that_reading_expects(stored):
    with pytest.raises((LookupError, ValueError, TypeError)):
        Records.from_json(stored)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([0.0, 1.0, 0.5]),
    st.sampled_from(["", "1"]),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 1), max_size=2),
    st.lists(st.integers(0, 1), max_size=2),
)


@given(st.lists(values, min_size=1, max_size=8))
def test_any_column_is_the_same_after_it_was_encoded(column):
    again = _decoded(loads(dumps(_encoded(column))), len(column))
    assert again == column
    assert [type(value) for value in again] == [type(value) for value in column]
