"""How does a small reranker learn what a large one says of a collection's own queries?"""
