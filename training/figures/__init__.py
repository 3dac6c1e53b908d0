"""What measured orders are worth."""
