"""Rank methods, from loading to notes, on one model."""
