"""Start of the reranker: a matcher written by hand, whose strengths are trained.

    python -m training.judge_start --work WORK --tokenizer TOKENIZERS/winnow-rerank \
        --embedder WORK/embedder.pt --out WORK/judge_start.pt

From a random start a transformer must first discover that a passage's words are to be compared with the question's,
which takes too long on one core. So this is built in:

    layer 1  marks each token with its section: two heads look for the tokens `Query` and `Document` of the scaffold
             among the earlier tokens, and write a flag. (Otherwise they look at the sink, `<|im_start|>`.)
    layer 2  compares: four heads of each passage token look for the most similar query token, by the embedder's rows
             through random projections, like ColBERT's maximal similarity but softly, and write how much was found and
             how rare it is (its inverse document frequency).
    layer 3  gathers at the last position: how much of the passage was matched, weighted by rarity, its language and
             whether it is code, and which kind the instruction asks for. Four units of its MLP multiply the last two.
             An attention's sum is a mean, so a long passage gains nothing by its length, and once the matched words
             hold the attention, more of them add little: like BM25's length norm and saturation.

All else is zero and stays so. `training.strengths` says what is trained from here.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.bag import HEAD_WIDTH
from training.judge import HALF, HEADS, ROPE_THETA, Judge, Layer
from training.judge_prompts import Prompting
from training.lexicon import ASKED, CODES, Lexicon
from training.sequences import load_passages

# Contents of the remaining dimensions of a state.
IDF, ONE, SINK, QUERY_MARK, DOCUMENT_MARK, CHINESE, ENGLISH, CODE, ANSWER = range(CODES, CODES + 9)
ASKS = {kind: ANSWER + 1 + number for number, kind in enumerate(ASKED)}
IN_QUERY, IN_DOCUMENT, MATCHED = 270, 271, 272
MATCHED_ALL = range(MATCHED, MATCHED + 8)
SUMMARY, SUMMARY_OF_MATCHED, WANTED = 280, 300, 320  # written by layer 3 at the last position
_SUMMARISED = [*MATCHED_ALL, CHINESE, ENGLISH, CODE, IDF]
_OF_PASSAGE = {dimension: SUMMARY + place for place, dimension in enumerate(_SUMMARISED)}
_IS_WANTED = {kind: WANTED + place for place, kind in enumerate(ASKED)}
# Dimensions of a head that turn by less than 1.5e-3 rad per token.
_SLOW_PAIRS = [pair for pair in range(HALF) if ROPE_THETA ** (-pair / HALF) < 1.5e-3]
SLOW = [*_SLOW_PAIRS, *(pair + HALF for pair in _SLOW_PAIRS)]
MATCHING_HEADS = 4  # of layer 2
_READS_INSTRUCTION = 2  # head of layer 3
_SHRUNK = 0.87  # effect of a layer's first norm on a state of these sizes


@torch.no_grad()
def started(lexicon: Lexicon, prompting: Prompting) -> Judge:
    judge = Judge()
    generator = torch.Generator().manual_seed(3)
    _write_rows(judge.embed_tokens.weight, lexicon, prompting)
    sections, matching, gathering = judge.layers
    for layer in judge.layers:
        # No head may have queries or keys of length zero: the norm would turn them into noise.
        lifted = [head * HEAD_WIDTH + SLOW[-1] for head in range(HEADS)]
        layer.self_attn.q_proj.weight[lifted, ONE] = 0.3
        layer.self_attn.k_proj.weight[lifted, ONE] = 0.3
    _mark_sections(sections)
    _match(matching, generator)
    _gather(gathering, generator)
    _want(gathering)
    judge.norm.weight.fill_(0.06)
    judge.norm.weight[:CODES] = 0.006
    judge.norm.weight[ANSWER] = 0.125
    # Bias that must be overcome for a yes. Without it the first steps only look for one; README.md has how it was
    # chosen.
    judge.embed_tokens.weight[prompting.suffix[-1], ANSWER] = -5.2
    return judge


def _write_rows(rows: Tensor, lexicon: Lexicon, prompting: Prompting) -> None:
    rows[:, :CODES] = lexicon.codes * 16
    rows[:, IDF] = lexicon.rarity * 6
    rows[:, ONE] = 4
    rows[:, [SINK, QUERY_MARK, DOCUMENT_MARK]] = 0
    rows[:, CHINESE] = lexicon.is_chinese * 4
    rows[:, ENGLISH] = lexicon.is_latin * 4
    rows[:, CODE] = lexicon.is_program * 4
    rows[:, ANSWER] = 0
    rows[:, IN_QUERY : MATCHED_ALL.stop] = 0
    rows[:, min(ASKS.values()) : IN_QUERY] = 0
    for kind, dimension in ASKS.items():
        rows[lexicon.asking[kind], dimension] = 5
    rows[prompting.start, :CODES] = 0
    rows[prompting.start, SINK] = 18
    rows[prompting.query_mark, QUERY_MARK] = 8
    rows[prompting.document_mark, DOCUMENT_MARK] = 8
    rows[prompting.yes, ANSWER] = 8
    rows[prompting.no, ANSWER] = -8


def _mark_sections(layer: Layer) -> None:
    query, key, value, out = _projections(layer)
    for head, (mark, flag) in enumerate(((QUERY_MARK, IN_QUERY), (DOCUMENT_MARK, IN_DOCUMENT))):
        first, rows = head * HEAD_WIDTH, _rows_of(head)
        for projection in (query, key, value):
            projection[rows] = 0
        ordinary, marked, sink = (first + slot for slot in SLOW[-3:])
        key[ordinary, ONE], key[marked, mark], key[sink, SINK] = 1.0, 3.0, 1.5
        query[ordinary, ONE], query[marked, ONE], query[sink, ONE] = -1.0, 1.6, 1.0
        value[first, mark] = 1.0
        out[:, rows] = 0
        out[flag, first] = _SHRUNK
    layer.self_attn.q_norm.weight.fill_(3.0)


def _match(layer: Layer, generator: torch.Generator) -> None:
    query, key, value, out = _projections(layer)
    layer.self_attn.q_norm.weight.fill_(5.0)  # sharp: almost only the best match
    slots, (of_query, of_document, sink) = SLOW[:-3][:38], SLOW[-3:]
    scale = math.sqrt(CODES / len(slots))
    for head in range(MATCHING_HEADS):
        first, rows = head * HEAD_WIDTH, _rows_of(head)
        directions = torch.linalg.qr(torch.randn(CODES, CODES, generator=generator))[0][: len(slots)]
        for projection in (query, key, value):
            projection[rows] = 0
        for direction, slot in zip(directions, slots, strict=True):
            key[first + slot, :CODES] = direction * scale * 0.40
            query[first + slot, :CODES] = direction * scale * 0.28
        # Query tokens attract, the passage's own repel, and the sink takes what matches nothing.
        key[first + of_query, IN_QUERY], key[first + of_document, IN_DOCUMENT], key[first + sink, SINK] = 0.5, 0.5, 0.5
        query[first + of_query, ONE] = 3.5 / 4 * _SHRUNK
        query[first + of_document, ONE] = -3.5 / 4 * _SHRUNK
        query[first + sink, ONE] = 4.9 / 4 * _SHRUNK
        value[first, IDF] = 1.0
        value[first + 1, ONE], value[first + 1, SINK] = 1.0, -4 / 18  # one for any token, nothing for the sink
        out[:, rows] = 0
        out[MATCHED_ALL[head], first] = 1.0
        out[MATCHED_ALL[4 + head], first + 1] = 0.5


def _gather(layer: Layer, generator: torch.Generator) -> None:
    query, key, value, out = _projections(layer)
    layer.self_attn.q_norm.weight.fill_(2.0)
    directions = torch.linalg.qr(torch.randn(CODES, CODES, generator=generator))[0][:HEAD_WIDTH]
    looked_for = [
        ([(IN_DOCUMENT, 0.5)], [1.0]),
        ([(IN_DOCUMENT, 0.4), (MATCHED, 0.5), (MATCHED + 1, 0.5)], [0.5, 0.8, 0.8]),
        ([(IN_QUERY, 0.5)], [-2.0]),  # away from all that follows `Query`: the instruction
        ([(IN_QUERY, 0.5), (IN_DOCUMENT, 0.5)], [1.0, -1.5]),
        ([(IN_DOCUMENT, 0.4), (IDF, 0.6)], [0.5, 0.6]),
        ([(IN_DOCUMENT, 0.4), (MATCHED + 2, 0.5), (MATCHED + 3, 0.5)], [0.5, 0.8, 0.8]),
    ]
    ordinary, *slots = SLOW[-4:]
    for head, (wanted, strengths) in enumerate(looked_for):
        first, rows = head * HEAD_WIDTH, _rows_of(head)
        for projection in (query, key, value):
            projection[rows] = 0
        key[first + ordinary, ONE], query[first + ordinary, ONE] = 1, 0.2
        for slot, (dimension, weight), strength in zip(slots, wanted, strengths, strict=False):
            key[first + slot, dimension] = weight
            query[first + slot, ONE] = strength
        out[:, rows] = 0
    for head, base in ((0, SUMMARY), (1, SUMMARY_OF_MATCHED)):
        for offset, dimension in enumerate(_SUMMARISED):
            value[head * HEAD_WIDTH + offset, dimension] = 1.0
            out[base + offset, head * HEAD_WIDTH + offset] = 1.0
    for head in range(2, 6):
        rows = _rows_of(head)
        value[rows, :CODES] = directions
        for offset in range(HEAD_WIDTH):
            out[(head - 2) * HEAD_WIDTH + offset, head * HEAD_WIDTH + offset] = 0.5
    for offset in range(4):  # the answer before training: how rare the matched words are
        out[ANSWER, offset], out[ANSWER, HEAD_WIDTH + offset] = 2.0, 0.3


def _want(layer: Layer) -> None:
    """The head that reads the instruction looks for words that ask for a kind; four units of the MLP compare."""
    query, key, value, out = _projections(layer)
    first = _READS_INSTRUCTION * HEAD_WIDTH
    told = slice(first, first + len(ASKED))
    value[told] = 0
    out[:, told] = 0
    for place, (slot, dimension) in enumerate(zip(SLOW, ASKS.values(), strict=False)):
        key[first + slot, dimension], query[first + slot, ONE] = 0.7, 1.0
        value[first + place, dimension] = 1.0
        out[WANTED + place, first + place] = 1.5
    gate, up, down = (part.weight for part in (layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj))
    # wanted, its opposite, and the evidence that a passage is so: a sum over its summary, and a constant.
    units = [
        ("zh", "en", {CHINESE: 0.8, ENGLISH: -0.8}, 0.0),
        ("en", "zh", {ENGLISH: 0.8, CHINESE: -0.8}, 0.0),
        ("code", "prose", {CODE: 0.8}, -0.25),
        ("prose", "code", {CODE: -0.8}, 0.25),
    ]
    for unit, (wanted, opposite, speaks_for, constant) in enumerate(units):
        gate[unit], up[unit], down[:, unit] = 0, 0, 0
        gate[unit, _IS_WANTED[wanted]], gate[unit, _IS_WANTED[opposite]] = 0.8, -0.8
        for dimension, weight in speaks_for.items():
            up[unit, _OF_PASSAGE[dimension]] = weight
        up[unit, ONE] = constant
        down[ANSWER, unit] = 1.0


def _projections(layer: Layer) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    attention = layer.self_attn
    return (
        attention.q_proj.weight,
        attention.k_proj.weight,
        attention.v_proj.weight,
        attention.o_proj.weight,
    )


def _rows_of(head: int) -> slice:
    return slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("work", "tokenizer", "embedder", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(options.tokenizer / "tokenizer.json"))
    rows = torch.load(options.embedder)["rows"]
    lexicon = Lexicon.of(rows, load_passages(options.work), tokenizer)
    torch.save(started(lexicon, Prompting.load(options.tokenizer)).state_dict(), options.out)


if __name__ == "__main__":
    main()
