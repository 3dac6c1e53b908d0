"""How do documents get into a collection, and an index out of it? Ingest, indexing, backups."""
