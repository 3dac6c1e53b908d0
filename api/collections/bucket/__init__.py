"""How do the collections of a deployment live in a bucket?"""
