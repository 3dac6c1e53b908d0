"""Which command trains a small reranker for a collection, and what does it print?"""
