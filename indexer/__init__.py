"""Here is a corpus, make it searchable."""
