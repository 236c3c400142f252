"""Compute the statistics of a study by pure functions of arrays. Lower is better throughout."""
