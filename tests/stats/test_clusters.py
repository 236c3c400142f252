import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrobench.stats.clusters import average_within
from surrobench.stats.ranks import friedman


def test_a_data_set_in_two_scenarios_is_one_block():
    losses = np.array([[0.1, 0.4], [0.5, 0.7], [0.3, 0.2]])
    blocks, labels = average_within(losses, ["12", "31", "12"])
    assert labels == ("12", "31")
    assert blocks == pytest.approx(np.array([[0.2, 0.3], [0.5, 0.7]]))


def test_seeds_are_kept_apart_and_singletons_unchanged():
    losses = np.random.default_rng(0).random((4, 3, 5))
    blocks, labels = average_within(losses, range(4))
    assert np.array_equal(blocks, losses)
    assert labels == (0, 1, 2, 3)
    assert average_within(losses, ["a"] * 4)[0].shape == (1, 3, 5)


def test_copies_of_an_instance_add_no_evidence():
    losses = np.random.default_rng(2).random((8, 3)) ** [1, 2, 3]
    copied = np.concatenate([losses, losses, losses])
    blocks, _ = average_within(copied, list(range(8)) * 3)
    assert friedman(blocks).p == friedman(losses).p > friedman(copied).p


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_instances_decides_no_digit(labels, random):
    values = np.random.default_rng(len(labels)).random((len(labels), 2))
    order = random.sample(range(len(labels)), len(labels))
    plain = dict(zip(*reversed(average_within(values, labels)), strict=True))
    other = dict(zip(*reversed(average_within(values[order], [labels[i] for i in order])), strict=True))
    assert plain.keys() == other.keys()
    assert all(np.array_equal(plain[label], other[label]) for label in plain)


@pytest.mark.parametrize(("values", "labels"), [([0.1], ["a", "b"]), ([], []), (0.1, ["a"])])
def test_labels_that_do_not_fit_are_refused(values, labels):
    with pytest.raises(ValueError, match="the same instances, one or more"):
        average_within(values, labels)
