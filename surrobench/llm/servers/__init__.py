"""Language model servers that surrobench starts itself."""
