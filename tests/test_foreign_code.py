"""The user's Ctrl-C is told apart from what the code of others raises."""

from __future__ import annotations

import signal
import threading

import pytest

from surrobench.foreign_code import Raised, foreign_code, noticed_interrupts


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(0), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_others_raise_is_theirs(error: BaseException) -> None:
    with pytest.raises(Raised) as raised, foreign_code():
        raise error
    assert raised.value.error is error


def test_ctrl_c_is_the_users() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), foreign_code():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_that_is_there_goes_on_working() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with noticed_interrupts() as noticed:
            assert not noticed.arrived
            signal.raise_signal(signal.SIGINT)
            assert noticed.arrived
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]


def test_in_another_thread_every_interrupt_is_theirs() -> None:
    caught: list[BaseException] = []

    def call() -> None:
        try:
            with foreign_code():
                raise KeyboardInterrupt
        except Raised as raised:
            caught.append(raised.error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert isinstance(caught[0], KeyboardInterrupt)
