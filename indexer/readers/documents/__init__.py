"""Parsers of the formats that people keep documents in, one module for each."""
