"""Near-identical copies in data/corpus reach the suggested limits, different passages on one subject do not."""

from __future__ import annotations

import numpy as np
import pytest

from bench.collapse.quality import copies, one_subject, read_passages
from winnow.api.model_loading import load_embedding
from winnow.api.settings import load
from winnow.rerank.near_duplicates import cosine_similarities
from winnow.retrieval.lexical.shingles import shingle_similarities

SHINGLES, COSINE = 0.6, 0.97  # what docs/how-to/near-duplicates.md suggests
SAMPLED = 8  # every eighth passage; the whole is `python -m bench.collapse.quality`


def test_shingles_tell_copies_from_passages_on_one_subject() -> None:
    """All copies of all 209 documents, English and Chinese: white space, capitals, punctuation, width, one word."""
    passages = read_passages()
    similarities = shingle_similarities([each.text for each in passages])
    assert len(one_subject(passages)) > 250
    assert np.triu(similarities, 1).max() < SHINGLES / 4
    kinds = set()
    for passage in passages:
        for kind, text in copies(passage):
            kinds.add(kind)
            least = SHINGLES if kind == "one word" else 1.0
            assert text != passage.text or kind in {"capitals", "punctuation", "full width"}  # if it has none of them
            assert shingle_similarities([passage.text, text])[0, 1] >= least, (passage.document_id, kind)
    assert len(kinds) == 5


@pytest.mark.slow
async def test_vectors_tell_one_changed_word_from_passages_on_one_subject() -> None:
    """With the bundled embedder, in both languages."""
    passages = read_passages()[::SAMPLED]
    changed = [dict(copies(passage))["one word"] for passage in passages]
    embedder = load_embedding(load({"device": "cpu"}, environment={})).embedder
    vectors = (await embedder.embed_passages([*(each.text for each in passages), *changed])).vectors
    similarities = cosine_similarities(vectors)
    count = len(passages)
    assert similarities[range(count), range(count, 2 * count)].min() >= COSINE
    assert np.triu(similarities[:count, :count], 1).max() < 0.9
