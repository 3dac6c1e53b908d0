"""The interfaces that people's clients know from other services. Each module translates one dialect, and nothing else.

Every route takes the caller whole, and hands it to the one function that does the work: what a caller may not do, it
may not do in any dialect.
"""
