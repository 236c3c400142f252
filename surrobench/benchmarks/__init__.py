"""The benchmarks: ``registry`` lists them, ``base`` states their contract."""
