"""Bodies of the interfaces that other services have, one module for each dialect."""
