"""Kernels: what optimizers compute for many runs at once, see ``protocol.requests.Compute``."""
