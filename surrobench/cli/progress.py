"""A progress bar for what a report computes; that of a study is in ``cli/heartbeat.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from surrobench.cli import output


def bar(what: str) -> Callable[[Sequence[int]], Iterator[int]]:
    """Return a function that passes numbers on and shows how far it is, on a terminal only.

    Args:
        what: is done, for the bar.
    """

    def pass_on(numbers: Sequence[int]) -> Iterator[int]:
        from rich.progress import track

        console = output.errors()
        hidden = output.is_quiet() or not console.is_terminal
        yield from track(numbers, what, console=console, transient=True, disable=hidden)

    return pass_on
