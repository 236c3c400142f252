"""Where the time of driving runs went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Timing:
    """Where the time went, in seconds."""

    library: float = 0.0
    """Inside optimization libraries."""
    benchmark: float = 0.0
    """Looking up or predicting objective values."""
    busy: float = 0.0
    """In all, waiting for a model left out."""
    proposals: int = 0
    """The number of proposals that kernels made in the place of a library."""
    referred: int = 0
    """How many of these proposals a kernel left to the library itself."""

    def add(self, other: Timing) -> None:
        """Add another process's share."""
        self.library += other.library
        self.benchmark += other.benchmark
        self.busy += other.busy
        self.proposals += other.proposals
        self.referred += other.referred
