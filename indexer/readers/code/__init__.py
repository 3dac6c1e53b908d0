"""Where do the functions and classes of a source file begin and end?"""
