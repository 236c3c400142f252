"""Load what reports are made of: runs, results of others, arrays over seeds."""
