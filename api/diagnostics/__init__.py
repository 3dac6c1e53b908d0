"""Is this deployment healthy, and what is to be done where it is not?"""
