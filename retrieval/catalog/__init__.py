"""Which tenants, collections, keys and instructions are there? Their records and rules; the rows are in sql/."""
