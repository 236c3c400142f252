import numpy as np

from surrobench.optimizers.classical.failures import WorstSeen


def test_a_failure_counts_as_the_worst_loss_seen_so_far():
    worst = WorstSeen()
    worst.see(np.array([-3.0, np.nan, -7.0]))
    assert worst.fill(np.array([np.nan, -9.0])).tolist() == [-3.0, -9.0]
    worst.see(np.array([5.0, -1.0]))
    worst.see(np.array([np.nan]))
    worst.see(np.empty(0))
    worst.see(np.array([2.0]))
    assert worst.fill(np.array([np.nan, -9.0])).tolist() == [5.0, -9.0]


def test_while_all_have_failed_they_are_equal():
    worst = WorstSeen()
    worst.see(np.array([np.nan, np.inf]))
    assert worst.fill(np.array([np.nan, np.nan])).tolist() == [0.0, 0.0]
