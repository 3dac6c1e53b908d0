"""Which worker computes the vectors of this window, and what if that worker is lost?"""
