"""Tables as text: one renderer per format."""
