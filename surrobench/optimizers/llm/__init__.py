"""Methods that ask a language model, and what they share."""
