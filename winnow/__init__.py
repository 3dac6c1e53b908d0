"""Two-stage retrieval that follows your instruction: vector recall, then a reranker.

The folders api, indexer, rerank and retrieval of the project's root are linked into this package.
"""

__version__ = "0.1.0"
