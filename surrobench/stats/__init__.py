"""Statistics of a study: pure functions, arrays in and numbers out. Lower is better throughout."""
