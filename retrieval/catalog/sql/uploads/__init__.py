"""Uploaded files in SQL."""
