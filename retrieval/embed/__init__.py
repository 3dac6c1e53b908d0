"""Which vector is this text?"""
