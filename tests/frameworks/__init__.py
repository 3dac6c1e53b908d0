"""Runs the adapters of clients/python in the real frameworks, against a real service over data/corpus."""
