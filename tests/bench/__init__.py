"""The speed surrobench must keep, as ratios measured side by side: ``make bench``."""
