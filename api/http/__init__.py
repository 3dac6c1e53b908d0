"""What may be asked over HTTP, by whom, and what if not? The server, authentication, limits, problems, metrics."""
