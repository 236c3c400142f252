"""Past trials: what a user has already evaluated, read from wherever another tool has kept it.

``sources`` has a reader for each tool. ``collect`` makes one table of what the readers found: which
hyperparameters there are, when they are active, which trials failed, and what had to be left out.
"""
