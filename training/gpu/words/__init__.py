"""Words of instructions, exchanged for others of the same meaning."""
