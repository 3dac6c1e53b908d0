"""Here is a query, give me candidates."""
