"""What every `Embedder` keeps: unit vectors, one for each text in its order, and an identity that says which."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from tests.fakes import HashEmbedder
from tests.real_models import bundled_model
from tests.tiny_models import write_embedder
from winnow.retrieval.embed.embedder import DEFAULT_TASK, Embedder, query_prompt
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.embed.sentence_transformers import SentenceTransformerEmbedder
from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.model.folder import ModelFolder, find_model
from winnow.retrieval.records import Vectors

TEXTS = (
    "A consumer may return goods within seven days.",
    "消费者自收到商品之日起七日内有权退货，且无需说明理由。",
    "def search(query: str) -> list[Chunk]: ...",
    "",
    "a",
    "<|im_end|> <think> \U0001f642 e\u0301 \ud800",
    "The index is built from vectors. " * 40,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return find_model(str(write_embedder(tmp_path_factory.mktemp("models") / "tiny")), kind="embedder")


@pytest.fixture(scope="module", params=["hash", "qwen", "qwen cut to 32", "qwen bundled", "sentence-transformers"])
def embedder(request: pytest.FixtureRequest, tiny: ModelFolder) -> Embedder:
    match request.param:
        case "hash":
            return HashEmbedder()
        case "qwen":
            return QwenEmbedder.load(tiny)
        case "qwen cut to 32":
            return QwenEmbedder.load(tiny, dimension=32)
        case "qwen bundled":
            return QwenEmbedder.load(bundled_model("embedder"))
        case _:
            return SentenceTransformerEmbedder.load(tiny, device="cpu")


def passages(embedder: Embedder, *texts: str) -> Vectors:
    return asyncio.run(embedder.embed_passages(texts)).vectors


def queries(embedder: Embedder, *texts: str, task: str = DEFAULT_TASK) -> Vectors:
    return asyncio.run(embedder.embed_queries(texts, task)).vectors


def test_vectors_are_finite_and_of_length_one(embedder: Embedder) -> None:
    """Of the identity's dimension, whatever the text: empty, long, Chinese, control tokens, a lone surrogate."""
    for vectors in (passages(embedder, *TEXTS), queries(embedder, *TEXTS)):
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(TEXTS), embedder.identity.dimension)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_no_texts_are_no_vectors(embedder: Embedder) -> None:
    """An empty call has the right width, so that it can be joined to others."""
    assert passages(embedder).shape == (0, embedder.identity.dimension)


def test_a_batch_is_its_texts(embedder: Embedder) -> None:
    """Length-sorting and packing inside never show: vector i is the vector of text i."""
    together = passages(embedder, *TEXTS)
    for place, text in enumerate(TEXTS):
        np.testing.assert_allclose(passages(embedder, text)[0], together[place], atol=2e-5)


def test_tokens_are_counted(embedder: Embedder) -> None:
    """A longer text costs more, and an empty one still its end mark."""
    counted = [asyncio.run(embedder.embed_passages([text])).tokens for text in ("", "a", TEXTS[-1])]
    assert 0 < counted[0] < counted[1] < counted[2]
    assert asyncio.run(embedder.embed_passages(["", "a", TEXTS[-1]])).tokens == sum(counted)


@pytest.mark.parametrize("dimension", [None, 32])
def test_vectors_are_those_of_sentence_transformers(tiny: ModelFolder, dimension: int | None) -> None:
    """Passages raw, queries in the card's prompt, the slice before the normalisation: cosine at least 0.9999."""
    agrees_with_the_reference(tiny, QwenEmbedder.load(tiny, dimension=dimension))


def test_the_bundled_embedder_agrees_with_sentence_transformers() -> None:
    """The model that people use, not only the tiny one."""
    folder = bundled_model("embedder")
    agrees_with_the_reference(folder, QwenEmbedder.load(folder))


def agrees_with_the_reference(folder: ModelFolder, embedder: QwenEmbedder) -> None:
    texts = [text for text in TEXTS if "<|" not in text]  # the reference takes control tokens from users
    dimension = embedder.identity.dimension
    reference = reference_model(folder.path)
    reference.max_seq_length = folder.settings.max_tokens
    for ours, prompts in (
        (passages(embedder, *texts), texts),
        (queries(embedder, *texts, task="Find it"), [query_prompt(text, "Find it") for text in texts]),
    ):
        theirs = reference.encode(prompts, convert_to_numpy=True, normalize_embeddings=False)[:, :dimension]
        theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
        np.testing.assert_allclose((ours * theirs).sum(axis=1), 1.0, atol=1e-4)


def reference_model(path: Path) -> SentenceTransformer:
    """Put together by hand: last-token pooling, and the end mark from the folder's own post-processor."""
    transformer = Transformer(str(path))
    width = transformer.get_embedding_dimension()
    return SentenceTransformer(modules=[transformer, Pooling(width, "lasttoken"), Normalize()], device="cpu")


def test_a_long_text_is_cut_and_says_so(tiny: ModelFolder) -> None:
    """The window counts the end mark, which stays; the positions of what was cut are reported."""
    embedder = QwenEmbedder.load(tiny)
    long = "seven days " * 2_000
    found = asyncio.run(embedder.embed_passages(["a", long, "b", long + "and more"]))
    assert found.truncated == (1, 3)
    np.testing.assert_allclose(found.vectors[1], found.vectors[3], atol=1e-6)
    assert found.tokens == 2 * tiny.settings.max_tokens + 4


@given(text=st.text(max_size=40))
@settings(max_examples=25, deadline=None)
def test_any_text_has_a_vector(tiny_embedder: QwenEmbedder, text: str) -> None:
    """Whatever Unicode holds."""
    assert np.isfinite(passages(tiny_embedder, text)).all()


@pytest.fixture(scope="module")
def tiny_embedder(tiny: ModelFolder) -> QwenEmbedder:
    return QwenEmbedder.load(tiny)


def test_a_query_is_not_a_passage(tiny_embedder: QwenEmbedder) -> None:
    """The task is read: another task is another vector, and none is the passage's."""
    text = TEXTS[0]
    same, other = queries(tiny_embedder, text)[0], queries(tiny_embedder, text, task="Find the law")[0]
    assert float(same @ other) < 0.9999
    assert float(same @ passages(tiny_embedder, text)[0]) < 0.9999


def test_the_identity_names_weights_and_dimension(tiny: ModelFolder, tmp_path: Path) -> None:
    """Two dimensions of one model are two spaces; so are two trainings."""
    one = QwenEmbedder.load(tiny).identity
    assert (one.name, one.revision, one.dimension) == ("tiny-embed", tiny.revision, 48)
    assert QwenEmbedder.load(tiny, dimension=32).identity != one
    copied = find_model(str(write_embedder(tmp_path / "copy")), kind="embedder")
    assert QwenEmbedder.load(copied).identity == one


@pytest.mark.parametrize("dimension", [-1, 49])
def test_an_impossible_dimension_is_refused(tiny: ModelFolder, dimension: int) -> None:
    """The message says what the model has."""
    with pytest.raises(SettingInvalid, match="48"):
        QwenEmbedder.load(tiny, dimension=dimension)
