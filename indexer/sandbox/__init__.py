"""Which documents are in a file that may be hostile? A process of its own parses it, within limits."""
