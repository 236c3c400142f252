"""Fit a surrogate to past trials, say how good it is, and write it as a benchmark.

``fit`` is the way through: the trials as arrays (``arrays``), the choice of a model by nested
cross-validation (``selection``), the noise (``noise``), how good it is (``quality``), and the files
(``export``).
"""
