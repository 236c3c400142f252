"""The surrogates of YAHPO Gym."""
