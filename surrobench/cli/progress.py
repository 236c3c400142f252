"""A progress bar over what takes longer than a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence


def bar(what: str) -> Callable[[Sequence[int]], Iterator[int]]:
    """Passes on numbers, and shows how far it is; shows nothing where standard error is no terminal."""

    def pass_on(numbers: Sequence[int]) -> Iterator[int]:
        from rich.console import Console
        from rich.progress import track

        console = Console(stderr=True)
        yield from track(numbers, what, console=console, transient=True, disable=not console.is_terminal)

    return pass_on
