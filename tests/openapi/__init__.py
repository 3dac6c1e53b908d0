"""The OpenAPI description: its examples, and the campaign that sends what it describes."""
