"""What optimizers and the engine say to each other."""
