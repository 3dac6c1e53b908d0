"""How is the default pair trained on one or more GPUs? Limited by time, saved and resumed."""
