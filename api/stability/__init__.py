"""Have rankings moved, and why?"""
