"""Methods that vary a fidelity."""
