"""Training of the default pair on one or more GPUs: bounded by the clock, saved and resumed."""
