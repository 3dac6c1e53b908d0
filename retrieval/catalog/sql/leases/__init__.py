"""Which process of which host may write to a collection?"""
