"""Describe what a study asks for: the suite, its claims, and which part of it is chosen."""
