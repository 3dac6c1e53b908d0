"""`winnow collections`, of a data folder or of a service."""
