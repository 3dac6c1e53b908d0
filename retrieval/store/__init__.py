"""What are the chunks of this collection, at this version? Lance is named here, and in retrieval.backup.bucket."""
