"""Language models: one client, its journal, the servers it talks to, prompts and the parsing of replies."""
