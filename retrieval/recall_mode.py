"""By what does recall find chunks: by what they mean, by the words that they hold, or by both?"""

from __future__ import annotations

from enum import StrEnum


class RecallMode(StrEnum):
    """How recall chooses and orders its candidates."""

    DENSE = "dense"  # the nearest vectors
    HYBRID = "hybrid"  # the nearest vectors and the best matches of words, in one order (retrieval/search/fusion.py)
    LEXICAL = "lexical"  # the best matches of words, by BM25
