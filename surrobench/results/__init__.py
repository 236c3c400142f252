"""Read and write results folders."""
