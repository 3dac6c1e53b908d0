"""A program for the Python that has vllm, run by the path of its file (server.py) and never imported here."""
