"""Rank methods: one model, from loading to notes."""
