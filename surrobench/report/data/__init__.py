"""Load what reports are made of: runs, external results, arrays over seeds."""
