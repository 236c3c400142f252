"""Upper limits of a study: far beyond any that was run, and far below what would fill a machine's memory."""

MOST_SEEDS = 100_000
MOST_TRIALS = 10_000_000
MOST_WORKERS = 10_000
MOST_RUNS = 1_000_000
MOST_TOKENS = 10**12
MOST_SECONDS = 10**12
