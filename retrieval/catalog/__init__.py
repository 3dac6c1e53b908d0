"""Which tenants, collections, keys and instructions are there? The contracts."""
