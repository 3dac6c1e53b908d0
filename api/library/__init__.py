"""Which instruction is meant? The library: versions, files, shadows."""
