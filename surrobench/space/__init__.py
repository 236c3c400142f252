"""Search spaces as arrays."""
