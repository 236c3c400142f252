"""Run a suite: skip what is finished, execute the rest, store the outcomes."""
