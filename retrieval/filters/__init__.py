"""Which documents may answer?"""
