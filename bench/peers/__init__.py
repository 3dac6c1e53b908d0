"""Compares winnow with other stores on one machine, in one run: see `python -m bench.peers --help`."""
