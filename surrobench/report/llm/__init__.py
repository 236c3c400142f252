"""Reports about language models: what they are shown, what they reply."""
