"""Runs what the documentation shows: every fenced block is executed, or says why not. See README.md in this folder."""
