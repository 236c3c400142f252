"""Methods that ask no language model."""
