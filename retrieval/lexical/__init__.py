"""Which words does this text hold, for lexical search?"""
