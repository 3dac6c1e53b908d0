"""Which vector belongs to this text?"""
