"""Which questions have answers that everybody knows? Asked of every model before anybody believes it.

A model with a wrong template, a wrong head or broken weights still returns numbers; they are noise. The same two
passages are judged under two questions, in English and in Chinese, and each must win under its own: a model that merely
likes one of them better is found out. It costs less than a search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model.folder import ModelFolder

MARGIN: Final = 0.02  # of relevance or cosine; real models are apart by ten times that, noise by nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPair:
    """A question, a passage that answers it, and one that has nothing to do with it."""

    language: str
    query: str
    relevant: str
    irrelevant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAnswer:
    """What a model says about one pair: relevance of a reranker, cosine of an embedder."""

    pair: KnownPair
    relevant: float
    irrelevant: float

    @property
    def language(self) -> str:
        return self.pair.language

    @property
    def query(self) -> str:
        return self.pair.query

    @property
    def is_separated(self) -> bool:
        return self.relevant - self.irrelevant >= MARGIN

    @property
    def is_reversed(self) -> bool:
        return self.irrelevant - self.relevant >= MARGIN

    @property
    def figures(self) -> str:
        """For a message."""
        return f"{self.relevant:.3f} for the answer to {self.query!r}, {self.irrelevant:.3f} for an unrelated passage"


_EN: Final = (
    "A consumer may return goods bought online within fourteen days of receiving them, without a reason.",
    "The heron stands still in shallow water and strikes at small fish with its long bill.",
)
_ZH: Final = (
    "消费者通过网络购买商品的，自收到商品之日起十四日内有权退货，且无需说明理由。",
    "苍鹭静静地站在浅水中，用长长的喙捕捉小鱼。",
)
PAIRS: Final = (
    KnownPair(
        language="en", query="How long may I return a product bought online?", relevant=_EN[0], irrelevant=_EN[1]
    ),
    KnownPair(language="en", query="How does a heron catch fish?", relevant=_EN[1], irrelevant=_EN[0]),
    KnownPair(language="zh", query="网上购买的商品多久之内可以退货？", relevant=_ZH[0], irrelevant=_ZH[1]),
    KnownPair(language="zh", query="苍鹭怎样捕鱼？", relevant=_ZH[1], irrelevant=_ZH[0]),
)


LONG_PAIR: Final = PAIRS[1]
LONG_PROOF_SECONDS: Final = 30.0  # seconds; a proof that may take less is of a server that was not started again


def long_passages(tokens: int) -> tuple[str, str]:
    """The passages of `LONG_PAIR`, repeated until they fill so many tokens of any tokenizer.

    One that is computed in several steps gets its score in the last of them.
    """
    repeats = tokens // 8 + 1
    return " ".join([LONG_PAIR.relevant] * repeats), " ".join([LONG_PAIR.irrelevant] * repeats)


def refuse_other_pairs(folder: ModelFolder) -> None:
    """Whether its known answers, if it has any, can be to these pairs. Raises `ModelUnusable`."""
    if len(folder.settings.known_answers) not in {0, len(PAIRS)}:
        raise ModelUnusable(f"{folder.path}: winnow.json has known answers to other pairs than the {len(PAIRS)}")


def unread_languages(answers: Sequence[PairAnswer]) -> tuple[str, ...]:
    """The languages with a pair that was not separated, where another language's all were; else none."""
    unread = tuple(dict.fromkeys(each.language for each in answers if not each.is_separated))
    return unread if len(unread) < len({each.language for each in answers}) else ()


def other_answers(
    answers: Sequence[PairAnswer],
    reference: Sequence[tuple[float, float]],
    *,
    apart_max: float,
    called: str,
    model: str,
) -> str | None:
    """Why a model that tells the pairs apart is not the one known to give the reference; None where it may be.

    `called` is what the answers are called; without a reference nothing is known.
    """
    if not reference:
        return None
    apart = max(
        max(abs(each.relevant - relevant), abs(each.irrelevant - irrelevant))
        for each, (relevant, irrelevant) in zip(answers, reference, strict=True)
    )
    if apart <= apart_max:
        return None
    return (
        f"it tells the known pairs apart, but with {called} up to {apart:.3f} from those of {model}. Probably it "
        "serves another model of the family, or a quantised one. Start it with the folder that is set here, or set "
        "the model that it serves"
    )
