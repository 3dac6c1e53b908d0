"""Files that are broken or hostile, and what becomes of each."""
