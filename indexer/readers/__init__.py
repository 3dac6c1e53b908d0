"""Which documents does this file or folder hold? One reader for each format."""
