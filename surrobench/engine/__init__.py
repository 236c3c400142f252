"""Advance many runs together, and answer their requests in batches."""
