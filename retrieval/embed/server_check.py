"""Does this vLLM server embed as the model whose folder lies here does? Asked before its first vector is believed.

Vectors of another model, or pooled in another way, have the right shape and are searched without complaint; what they
find is noise. So a server is asked first what it is, then what everybody knows (retrieval/model/known_pairs.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, Self

import numpy as np

from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import DEFAULT_TASK, query_prompt
from winnow.retrieval.embed.pooled import END
from winnow.retrieval.errors import EmbedderUnavailable
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.known_pairs import (
    LONG_PAIR,
    LONG_PROOF_SECONDS,
    PAIRS,
    PairAnswer,
    long_passages,
    other_answers,
    refuse_other_pairs,
    unread_languages,
)
from winnow.retrieval.model.tokenizer import PlainTokenizer, ScaffoldTokenizer
from winnow.retrieval.records import Vectors
from winnow.retrieval.vllm.client import CallFailed, Fault, ServerFacts, VllmClient
from winnow.retrieval.vllm.identity import (
    another_model,
    another_tokenizer,
    may_split_wrongly,
    split_seen,
    splits_wrongly,
    too_short,
    without_route,
)

DEPARTURE_MAX: Final = 0.02  # of cosine; bfloat16 moves our own model by a tenth of that, another model by more
END_COSINE_MAX: Final = 0.995  # of a long text with its end mark and without; 0.1 where the last token is pooled
EMBEDDER_FLAGS: Final = "--runner=pooling"


class EmbedderCheck:
    """A `Proof` of one embedder's servers."""

    def __init__(
        self, folder: ModelFolder, tokenizer: PlainTokenizer, *, end_id: int, width: int, tokens_max: int
    ) -> None:
        """`tokens_max` is the longest input that will be sent."""
        self._folder = folder
        self._width = width
        self._tokens_max = tokens_max
        self._text = " ".join(text for pair in PAIRS for text in (pair.query, pair.relevant))
        texts = [
            text for pair in PAIRS for text in (query_prompt(pair.query, DEFAULT_TASK), pair.relevant, pair.irrelevant)
        ]
        self._ids = tokenizer.ids(self._text)
        question = tokenizer.ids(query_prompt(LONG_PAIR.query, DEFAULT_TASK))
        long = [tokenizer.ids(passage)[: tokens_max - 1] for passage in long_passages(tokens_max)]
        self._long = [[*ids, end_id] for ids in (question, *long)]
        self._inputs = [*([*tokenizer.ids(text), end_id] for text in texts), [*self._ids, end_id], self._ids]

    @classmethod
    def load(cls, folder: ModelFolder) -> Self:
        """Asks no server yet. Raises `ModelUnusable`."""
        refuse_other_pairs(folder)
        config = QwenConfig.read(folder.path)
        return cls(
            folder,
            PlainTokenizer.load(folder.path),
            end_id=ScaffoldTokenizer.load(folder.path).token_id(END),
            width=config.hidden,
            tokens_max=config.window(folder.settings.max_tokens),
        )

    async def __call__(self, client: VllmClient, deadline: Deadline) -> None:
        """Raises `EmbedderUnavailable` with the cause, or `CallFailed`."""
        facts = await client.facts(deadline)
        cause = (
            self._seen_in(facts)
            or await self._seen_in_tokens(client, deadline)
            or cause_of(await self._vectors(client, deadline), self._folder)
            or await self._seen_in_long_ones(client, facts, deadline)
        )
        if cause is not None:
            raise EmbedderUnavailable(f"{client.url} is not used: {cause}")

    def _seen_in(self, facts: ServerFacts) -> str | None:
        """Not the route that is asked for vectors: other kinds of model have that one too.

        Our own front has that one only.
        """
        return (
            without_route(facts, wanted="/v1/embeddings", instead="/classify", flags=EMBEDDER_FLAGS, general="/pooling")
            or another_model(facts, self._folder)
            or too_short(facts, self._folder, tokens_max=self._tokens_max)
            or splits_wrongly(facts)
        )

    async def _seen_in_long_ones(self, client: VllmClient, facts: ServerFacts, deadline: Deadline) -> str | None:
        """As of a reranker's server."""
        if not may_split_wrongly(facts) or deadline.remaining_seconds < LONG_PROOF_SECONDS:
            return None
        vectors = await client.embed(self._long, width=self._width, salt=secrets.token_hex(16), deadline=deadline)
        query, relevant, irrelevant = _units(vectors[:, : self._folder.settings.dimension])
        answer = PairAnswer(pair=LONG_PAIR, relevant=float(query @ relevant), irrelevant=float(query @ irrelevant))
        return None if answer.is_separated else split_seen(facts, answer.figures)

    async def _seen_in_tokens(self, client: VllmClient, deadline: Deadline) -> str | None:
        """It reads our ids and not our texts; but whose tokenizer is another, its model is another."""
        served = await client.tokens_of(self._text, deadline)
        return another_tokenizer(self._text, served, self._ids, self._folder)

    async def _vectors(self, client: VllmClient, deadline: Deadline) -> Vectors:
        """With a salt of its own, so that the server computes and does not remember."""
        salt = secrets.token_hex(16)
        try:
            vectors = await client.embed(self._inputs, width=self._width, salt=salt, deadline=deadline)
        except CallFailed as failed:
            if failed.fault is not Fault.BROKEN:
                raise
            raise EmbedderUnavailable(
                f"{failed.detail}; so it is not used. Probably it serves another model than {self._folder.name}, or "
                f"was started as no embedder, or its weights are broken. Start it with {EMBEDDER_FLAGS}"
            ) from failed
        return vectors[:, : self._folder.settings.dimension]


def _units(vectors: Vectors) -> Vectors:
    """Of length 1; zeros stay zeros, and are like nothing."""
    units: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return units


def cause_of(vectors: Vectors, folder: ModelFolder) -> str | None:
    """Why a server that gave these vectors cannot be this model, rightly started; None where it can. Pure.

    The rows: question, answer and unrelated passage of each pair; a long text with its end mark, and without.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not lengths.all():
        return f"it gives vectors of zeros: its weights were not read. Start it again with {EMBEDDER_FLAGS}"
    units = vectors / lengths
    without_end = float(units[-1] @ units[-2])
    if without_end > END_COSINE_MAX:
        return (
            f"its vectors hardly depend on the end mark (cosine {without_end:.4f} without it): it pools all "
            "tokens or the first one, and this model the last. Start it with "
            f'{EMBEDDER_FLAGS} and without --pooler-config, or with --pooler-config=\'{{"pooling_type":"LAST"}}\''
        )
    answers = [
        PairAnswer(pair=pair, relevant=float(query @ relevant), irrelevant=float(query @ irrelevant))
        for pair, query, relevant, irrelevant in zip(PAIRS, units[:-2:3], units[1:-2:3], units[2:-2:3], strict=True)
    ]
    return _unlike(answers, folder)


def _unlike(answers: Sequence[PairAnswer], folder: ModelFolder) -> str | None:
    first = next((each for each in answers if not each.is_separated), None)
    if first is not None:
        unread = " and ".join(unread_languages(answers))
        said = f"the known pairs{f' in {unread}' * bool(unread)} are not told apart (cosine {first.figures})"
        trained = ", or one that was not trained on that language" * bool(unread)
        return f"{said}. Probably it serves another model than {folder.name}{trained}, or its weights are broken"
    reference = folder.settings.known_answers
    return other_answers(answers, reference, apart_max=DEPARTURE_MAX, called="cosines", model=folder.name)
