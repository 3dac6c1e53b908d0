"""How does a collection leave, and come back?"""
