"""Surrogates that ``surrobench fit`` made of a user's past trials: ``fitted:FOLDER`` in a suite."""
