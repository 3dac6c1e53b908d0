"""Contracts of uploaded files."""
