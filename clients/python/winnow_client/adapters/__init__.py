"""What do all adapters to frameworks need? No framework is imported here."""
