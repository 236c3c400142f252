"""surrobench: can a language model beat classical hyperparameter optimization? Measured offline."""

__version__ = "0.1.0"

__all__ = ["__version__"]
