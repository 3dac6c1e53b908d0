"""Checks that a vLLM server embeds like the model in the local folder.

Vectors of another model, or pooled in another way, have the right shape and are searched without complaint; what they
find is noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Self

import numpy as np

from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import DEFAULT_TASK, query_prompt
from winnow.retrieval.embed.pooled import END
from winnow.retrieval.errors import EmbedderUnavailable
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.known_answers import Text, compare, mismatch
from winnow.retrieval.model.known_pairs import LONG_PAIR, PAIRS, PairAnswer, long_passages, missed_languages
from winnow.retrieval.model.published import Recognised, recognise
from winnow.retrieval.model.tokenizer import PlainTokenizer, token_ids
from winnow.retrieval.records import Vectors
from winnow.retrieval.vllm.client import VllmClient
from winnow.retrieval.vllm.server_check import Asked, ServerCheck, pair_answers, texts_to_ask

END_COSINE_MAX: Final = 0.995  # of a long text with its end mark and without; 0.1 where the last token is pooled
EMBEDDER_FLAGS: Final = "--runner=pooling"


class EmbedderCheck(ServerCheck):
    """Checks the servers of one embedder."""

    unavailable = EmbedderUnavailable
    flags = EMBEDDER_FLAGS
    route = "/v1/embeddings"
    other_route = "/classify"
    broken_because = "it serves another model than {model}, does not run as an embedder, or its weights are broken"

    def __init__(
        self,
        model: Recognised,
        folder: ModelFolder,
        tokenizer: PlainTokenizer,
        *,
        end_id: int,
        width: int,
        tokens_max: int,
    ) -> None:
        """`width` is the size of the model's own vectors."""
        text = " ".join(text for pair in PAIRS for text in (pair.query, pair.relevant))
        ids = tokenizer.ids(text)
        super().__init__(model, folder, texts={text: ids}, tokens_max=tokens_max)
        self._width = width
        self._asked = texts_to_ask(model)
        self._queries = list(dict.fromkeys(query for query, _ in self._asked))
        self._passages = list(dict.fromkeys(passage for _, passage in self._asked))
        texts = [*(query_prompt(query, DEFAULT_TASK) for query in self._queries), *self._passages]
        self._inputs = [*([*tokenizer.ids(text), end_id] for text in texts), [*ids, end_id], ids]
        long_query = tokenizer.ids(query_prompt(LONG_PAIR.query, DEFAULT_TASK))
        long = [tokenizer.ids(passage)[: tokens_max - 1] for passage in long_passages(tokens_max)]
        self._long_inputs = [[*each, end_id] for each in (long_query, *long)]

    @classmethod
    def load(cls, folder: ModelFolder) -> Self:
        """Prepare the check; calls no server yet. Raises `ModelUnusable`."""
        config = QwenConfig.read(folder.path)
        return cls(
            recognise(folder, "embedder"),
            folder,
            PlainTokenizer.load(folder.path),
            end_id=token_ids(folder.path, END)[0],
            width=config.hidden,
            tokens_max=config.window(folder.settings.max_tokens),
        )

    async def _ask(self, client: VllmClient, salt: str, deadline: Deadline) -> Asked:
        """The vectors' cosines. Vectors of zeros have none with anything."""
        units = _units(await self._vectors(client, self._inputs, salt, deadline))
        queries = dict(zip(self._queries, units, strict=False))
        passages = dict(zip(self._passages, units[len(queries) :], strict=False))
        return Asked(
            scores={(query, passage): float(queries[query] @ passages[passage]) for query, passage in self._asked},
            without_end=float(units[-1] @ units[-2]),
        )

    def _cause(self, asked: Asked, dtype: str | None) -> str | None:
        return diagnose(asked, self.model, self._folder.name, dtype=dtype)

    async def _long_answer(self, client: VllmClient, salt: str, deadline: Deadline) -> PairAnswer:
        query, relevant, irrelevant = _units(await self._vectors(client, self._long_inputs, salt, deadline))
        return PairAnswer(pair=LONG_PAIR, relevant=float(query @ relevant), irrelevant=float(query @ irrelevant))

    async def _vectors(
        self, client: VllmClient, inputs: Sequence[Sequence[int]], salt: str, deadline: Deadline
    ) -> Vectors:
        """(n, dimension), not normalised."""
        vectors = await client.embed(inputs, width=self._width, salt=salt, deadline=deadline)
        return vectors[:, : self._folder.settings.dimension]


def _units(vectors: Vectors) -> Vectors:
    """Scale each row to length 1; zeros stay zeros."""
    units: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return units


def diagnose(asked: Asked, model: Recognised, name: str, *, dtype: str | None = None) -> str | None:
    """Why a server with these cosines cannot be this model, started correctly; None if it can. Pure.

    `name` is that of the folder, `dtype` the number type of the server, if it tells.
    """
    if not all(asked.scores.values()):  # a cosine of exactly 0
        return f"its vectors are all zeros: its weights were not loaded. Start it again with {EMBEDDER_FLAGS}"
    if asked.without_end is not None and asked.without_end > END_COSINE_MAX:
        return (
            f"its vectors hardly depend on the end mark (cosine {asked.without_end:.4f} without it): it pools all "
            "tokens or the first one, and this model the last. Start it with "
            f'{EMBEDDER_FLAGS} and without --pooler-config, or with --pooler-config=\'{{"pooling_type":"LAST"}}\''
        )
    return _unlike(asked.scores, model, name, dtype)


def _unlike(scores: Mapping[Text, float], model: Recognised, name: str, dtype: str | None) -> str | None:
    answers = pair_answers(scores)
    first = next((each for each in answers if not each.is_separated), None)
    if first is not None:
        unread = " and ".join(missed_languages(answers))
        seen = f"it does not distinguish the known pairs{f' in {unread}' * bool(unread)} (cosine {first.figures})"
        trained = ", or one that was not trained on that language" * bool(unread)
        return f"{seen}. Probably it serves another model than {name}{trained}, or its weights are broken"
    if not model.is_certain:
        return None
    return mismatch(compare(model.known, scores, dtype=dtype), called="cosines", model=model.name)
