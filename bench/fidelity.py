"""Compares scores through vLLM with the model card's recipe, and with the same server's own /v1/rerank.

    python -m bench.fidelity --url http://127.0.0.1:8002 --model winnow-rerank --dtype bfloat16

The server runs the folder of --model, with the flags of docker-compose.yml, in the same --dtype, and with the file
written by `--write-template FILE` as its --chat-template: a correct one for this model, so that the prompts are equal.
The reference is computed here by transformers, pair by pair, without padding.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import NO, PREFIX, SUFFIX, YES, PromptBuilder
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.model.folder import ModelFolder, find_model
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Vectors
from winnow.retrieval.vllm.client import VllmClient

PAIRS = 500
TOKENS_MAX = 3_000  # per document
APART_MAX = 5e-3  # of probability; pairs that are closer may change places
CORPUS = Path(__file__).resolve().parents[1] / "data" / "corpus"
WINDOW = 8_192
TOKEN_CHARACTERS_MAX = 8  # on average, generously
BATCH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A query and a document."""

    query: str
    document: str


def chat_template() -> str:
    """The prompt of the model card, as a template for vLLM's scoring routes, with explicit line ends."""
    parts = (
        PREFIX + f"<Instruct>: {DEFAULT_INSTRUCTION}\n<Query>: ",
        "query",
        "\n<Document>: ",
        "document",
        SUFFIX,
    )
    return "".join(
        f"{{{{ (messages | selectattr('role', 'eq', '{part}') | first).content }}}}"
        if part in {"query", "document"}
        else f"{{{{ {json.dumps(part)} }}}}"
        for part in parts
    )


def pairs_of(tokenizer: PlainTokenizer, count: int = PAIRS) -> list[Pair]:
    """Questions and documents of data/corpus, in both languages, the documents cut to 1 to 3,000 tokens.

    Lengths are uniform on a logarithmic scale; a long document concatenates several of one language. A third begin with
    a relevant one.
    """
    drawn = np.random.default_rng(3)
    queries = {each["_id"]: each["text"] for each in _lines("queries.jsonl")}
    documents = {each["_id"]: each for each in _lines("corpus.jsonl")}
    judged = [line.split("\t")[:2] for line in (CORPUS / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]]
    names = list(documents)
    lengths = np.exp(np.linspace(0.0, np.log(TOKENS_MAX), count)).round().astype(int)
    found = []
    for length in drawn.permutation(lengths):
        query, first = judged[drawn.integers(len(judged))]
        if drawn.random() > 1 / 3:
            first = names[drawn.integers(len(names))]
        language = documents[first]["metadata"]["language"]
        others = [name for name in drawn.permutation(names) if documents[name]["metadata"]["language"] == language]
        text = "\n".join(documents[name]["text"] for name in (first, *others))
        found.append(Pair(query=queries[query], document=_beginning(tokenizer, text, int(length))))
    return found


def reference_of(folder: ModelFolder, pairs: Sequence[Pair], *, dtype: str) -> Vectors:
    """P(yes) against P(no) as the model card computes it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder.path, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder.path, dtype=getattr(torch, dtype)).eval()
    prefix, suffix = (tokenizer.encode(part, add_special_tokens=False) for part in (PREFIX, SUFFIX))
    yes, no = (tokenizer.convert_tokens_to_ids(token) for token in (YES, NO))
    scores = []
    with torch.no_grad():
        for pair in pairs:
            body = f"<Instruct>: {DEFAULT_INSTRUCTION}\n<Query>: {pair.query}\n<Document>: {pair.document}"
            ids = [*prefix, *tokenizer.encode(body, add_special_tokens=False), *suffix]
            logits = model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1]
            scores.append(torch.nn.functional.log_softmax(logits[[no, yes]], dim=0)[1].exp().float().item())
    return np.asarray(scores, dtype=np.float64)


async def served_scores(folder: ModelFolder, pairs: Sequence[Pair], url: str) -> Vectors:
    """Our way: ids to /classify."""
    prompts = PromptBuilder.load(folder.path, tokens_max=min(folder.settings.max_tokens, WINDOW))
    built = [prompts.build(pair.query, [pair.document], DEFAULT_INSTRUCTION) for pair in pairs]
    assert not any(each.truncated[0] for each in built), "every pair must fit"
    inputs = [(*each.shared, *each.tails[0]) for each in built]
    client = VllmClient(url)
    try:
        parts = [
            await client.classify(inputs[start : start + BATCH], salt="fidelity", deadline=Deadline.never())
            for start in range(0, len(inputs), BATCH)
        ]
    finally:
        await client.close()
    return np.asarray([score for part in parts for score in part], dtype=np.float64)


def stock_scores(pairs: Sequence[Pair], url: str) -> Vectors:
    """The server's own way: texts to /v1/rerank."""
    scores = []
    for pair in pairs:
        body = {"query": pair.query, "documents": [pair.document]}
        request = urllib.request.Request(  # noqa: S310  a server chosen by the caller
            f"{url}/v1/rerank", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=300) as reply:  # noqa: S310
            scores.append(json.load(reply)["results"][0]["relevance_score"])
    return np.asarray(scores, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """How the scores of one way differ from the reference."""

    apart: Vectors  # per pair
    tau: float  # Kendall's, over all pairs of pairs that the reference separates
    swapped: int  # pairs of pairs that the reference separates by more than APART_MAX, in reverse order

    def __str__(self) -> str:
        at = ", ".join(
            f"{name} {value:.1e}" for name, value in zip(("p50", "p99", "most"), self.quantiles, strict=True)
        )
        return f"apart {at}; Kendall's tau {self.tau:.6f}; {self.swapped} swapped"

    @property
    def quantiles(self) -> tuple[float, ...]:
        return tuple(float(value) for value in np.quantile(self.apart, (0.5, 0.99, 1.0)))


def fidelity_of(scores: Vectors, reference: Vectors) -> Fidelity:
    rows, columns = np.triu_indices(len(reference), 1)
    wanted, found = reference[rows] - reference[columns], scores[rows] - scores[columns]
    told = wanted != 0.0
    return Fidelity(
        apart=np.abs(scores - reference),
        tau=float(np.sign(wanted[told] * found[told]).mean()),
        swapped=int(((wanted * found < 0.0) & (np.abs(wanted) > APART_MAX)).sum()),
    )


def _beginning(tokenizer: PlainTokenizer, text: str, tokens: int) -> str:
    offsets = tokenizer.offsets(text[: tokens * TOKEN_CHARACTERS_MAX + 100])
    assert len(offsets) > tokens, "a language of the corpus has more tokens than the longest document"
    return text[: max(1, offsets[tokens][0])]  # the first character may have several tokens


def _lines(name: str) -> Iterator[Any]:
    with (CORPUS / name).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--model", default="winnow-rerank")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--write-template", type=Path)
    arguments = parser.parse_args()
    if arguments.write_template:
        arguments.write_template.write_text(chat_template(), encoding="utf-8")
        return
    folder = find_model(arguments.model, kind="reranker")
    pairs = pairs_of(PlainTokenizer.load(folder.path), arguments.pairs)
    references = {dtype: reference_of(folder, pairs, dtype=dtype) for dtype in {arguments.dtype, "float32"}}
    reference = references[arguments.dtype]
    ours = asyncio.run(served_scores(folder, pairs, arguments.url))
    print(f"{len(pairs)} pairs, {folder.name}, {arguments.dtype}; the reference is transformers in {arguments.dtype}")
    print(f"ids to /classify        {fidelity_of(ours, reference)}")
    print(f"vLLM's own /v1/rerank   {fidelity_of(stock_scores(pairs, arguments.url), reference)}")
    print(f"against float32: transformers {fidelity_of(reference, references['float32'])}")
    print(f"                 ids to /classify {fidelity_of(ours, references['float32'])}")


if __name__ == "__main__":
    main()
