"""From a suite to its runs: names are resolved, and every run gets its identity."""
