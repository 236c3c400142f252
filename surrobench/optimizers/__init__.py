"""The optimizers: ``registry`` lists them, ``base`` states their contract."""
