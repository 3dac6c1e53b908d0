"""Composes instructions: a context, what is wanted in one of thousands of frames, and a remark, in two languages.

A model that meets each frame many times learns the frame by heart. So sentences are put together from small parts, and
few are seen twice: what they have in common is their meaning. Half of them are written ones instead (`sentences`).
Wordings of `wordings.HELD_OUT` are left out. In instruction_words.json, frames have choices `[x|y]` and slots `{put}`;
`{a}` is wanted, `{b}` is not.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

from training.gpu import sentences, wordings
from training.gpu.phrases import DOCUMENTS_EN, DOCUMENTS_ZH, KINDS, OTHERS, PREFERENCES, WORDS, Side, capital
from training.gpu.words import rewording

Rng = random.Random
POLITE_SHARE, CHINESE_SHARE = 0.35, 0.3
WRITTEN_SHARE, WRITTEN_ALONE_SHARE, COMPOSED_BESIDE_SHARE = 0.65, 0.5, 0.15
REWORDED_SHARE, CARELESS_SHARE, CAPITAL_SHARE = 0.45, 0.12, 0.7
_CHOICE = re.compile(r"\[([^\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
# What measures is never composed, not by chance either.
_UNSEEN = {
    text
    for texts in json.loads(Path(__file__).with_name("unseen_wordings.json").read_text(encoding="utf-8")).values()
    for text in texts
}


def _word(rng: Rng, name: str) -> str:
    word: str = rng.choice(WORDS[name])
    return word


def _frame(rng: Rng, *, chinese: bool) -> str:
    frames = WORDS["frames_zh" if chinese else "frames_en"]
    frame: str = rng.choices([frame for _, frame in frames], [weight for weight, _ in frames])[0]
    return frame


def _chosen(frame: str, rng: Rng) -> str:
    return _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), frame)


def _filled(frame: str, rng: Rng, a: str, b: str) -> str:
    chosen = _chosen(frame, rng)
    said = {"a": a, "b": b, "please": _word(rng, "polite") if rng.random() < POLITE_SHARE else ""}
    return _SLOT.sub(lambda slot: said[slot[1]] if slot[1] in said else rng.choice(WORDS["slots"][slot[1]]), chosen)


def _conditional(rng: Rng, wanted: Side, other: Side, *, chinese: bool) -> str | None:
    low = rng.random() < 0.35 and bool(other.condition_en)
    side = other if low else wanted
    if not (side.condition_zh if chinese else side.condition_en):
        return None
    if chinese:
        then = _word(rng, "drop_zh" if low else "raise_zh")
        return f"{_word(rng, 'if_zh')}{rng.choice(DOCUMENTS_ZH)}{rng.choice(side.condition_zh)}，{then}"
    condition = f"{_word(rng, 'if')} {_word(rng, 'a_document')} {rng.choice(side.condition_en)}"
    then = _word(rng, "drop" if low else "raise")
    return f"{condition}, {then}" if rng.random() < 0.7 or then.startswith("it ") else f"{then} {condition}"


def _core(rng: Rng, wanted: Side, other: Side, *, chinese: bool) -> str:
    way = rng.random()
    if way < 0.12:
        said = _conditional(rng, wanted, other, chinese=chinese)
        if said is not None:
            return said
    whole = wanted.whole_zh if chinese else wanted.whole_en
    if way < 0.34 and whole:
        return rng.choice(whole)
    frame = _frame(rng, chinese=chinese)
    if chinese:
        a, b = (rng.choice(side.chinese).replace("{d}", rng.choice(DOCUMENTS_ZH)) for side in (wanted, other))
    else:
        word = rng.choice(DOCUMENTS_EN)
        a, b = (rng.choice(side.english).replace("{d}", word if rng.random() < 0.6 else rng.choice(DOCUMENTS_EN))
                for side in (wanted, other))  # fmt: skip
    return _filled(frame, rng, a, b)


def context(rng: Rng, *, chinese: bool) -> str:
    end = "_zh" if chinese else ""
    return _word(rng, f"contexts{end}").replace("{d}", _word(rng, f"domains{end}"))


def _wrapped(rng: Rng, core: str, *, chinese: bool) -> str:
    """A context before it, a remark behind it, or neither; sometimes of the other language."""
    parts = [core]
    if rng.random() < 0.45:
        parts.insert(0, context(rng, chinese=chinese != (rng.random() < 0.08)))
    if rng.random() < 0.22:
        parts.append(_word(rng, "remarks_zh" if chinese else "remarks"))
    if rng.random() < 0.06 and len(parts) > 1:
        parts.append(core)
    text = ""
    for number, part in enumerate(parts):
        joint = _word(rng, "join_zh" if chinese else "join") if number else ""
        begins = not number or joint.strip() in (".", "")
        text += joint + (capital(part) if begins and rng.random() < 0.9 else part)
    if rng.random() < 0.35:
        text += "。" if chinese else rng.choice([".", ".", "!"])
    if not chinese and "{" not in text and rng.random() < 0.05:
        text = text.lower() if rng.random() < 0.7 else text.upper()
    return text


def _preferring(wanted: Side, other: Side, rng: Rng) -> tuple[str, bool]:
    """The instruction, and whether it is in Chinese."""
    in_chinese = rng.random() < CHINESE_SHARE
    core = _core(rng, wanted, other, chinese=in_chinese)
    if rng.random() < 0.15:  # said twice, in two ways
        more = _core(rng, wanted, other, chinese=in_chinese)
        core = core + _word(rng, "join_zh" if in_chinese else "join") + more
    return _wrapped(rng, core, chinese=in_chinese), in_chinese


def _written(kind: str, rng: Rng, *, name: str, composed: Callable[[bool], str]) -> tuple[str, bool]:
    """The written sentences of a kind, alone or wrapped, sometimes with a composed one beside them.

    `{0}` becomes `name`. Also returns whether it is in Chinese."""
    chinese = rng.random() < CHINESE_SHARE
    core = _chosen(sentences.written(kind, rng, chinese=chinese), rng).replace("{0}", name)
    core = capital(core) if rng.random() < CAPITAL_SHARE else core
    if rng.random() < COMPOSED_BESIDE_SHARE:
        parts = [core, composed(chinese)]
        rng.shuffle(parts)
        core = sentences.joined(*parts, chinese=chinese)
    if rng.random() < WRITTEN_ALONE_SHARE:
        return core, chinese
    return _wrapped(rng, core.rstrip(".。"), chinese=chinese), chinese


def preferring(kind: str, rng: Rng, *, english: str = "", chinese: str = "") -> str:
    """One instruction that prefers `kind`; `english` and `chinese` name its number or source."""
    wanted, other = rng.choice(PREFERENCES[kind])
    if rng.random() < WRITTEN_SHARE:
        said, in_chinese = _written(kind, rng, name="{n}", composed=lambda zh: _core(rng, wanted, other, chinese=zh))
    else:
        said, in_chinese = _preferring(wanted, other, rng)
    if rng.random() < REWORDED_SHARE:
        said = rewording.reworded(said, rng)
    if rng.random() < CARELESS_SHARE:
        said = rewording.careless(said, rng)
    if said.replace("{n}", "{0}") in wordings.HELD_OUT[kind] or said in _UNSEEN:
        return preferring(kind, rng, english=english, chinese=chinese)
    return said.replace("{n}", chinese if in_chinese else english)


def avoiding_source(rng: Rng, *, english: str, chinese: str) -> str:
    """One instruction that prefers what is not from the named source."""
    wanted, other = PREFERENCES["source"][0]
    said, in_chinese = _preferring(other, wanted, rng)
    if "{n}" not in said:  # the frame spoke of the others only
        return avoiding_source(rng, english=english, chinese=chinese)
    return said.replace("{n}", chinese if in_chinese else english)


def preferring_kind(name: str, rng: Rng) -> str:
    """One instruction that prefers documents of a kind in `KINDS`, to others or to a named other kind."""
    other = OTHERS if rng.random() < 0.6 else KINDS[rng.choice([other for other in KINDS if other != name])].side
    wanted = KINDS[name]
    if rng.random() >= WRITTEN_SHARE:
        return _preferring(wanted.side, other, rng)[0]
    said, in_chinese = _written("kind", rng, name="{n}", composed=lambda zh: _core(rng, wanted.side, other, chinese=zh))
    return said.replace("{n}", rng.choice(wanted.chinese if in_chinese else wanted.english))


def neutral(rng: Rng) -> str:
    """One instruction that asks for relevance alone."""
    chinese = rng.random() < CHINESE_SHARE
    way = rng.random()
    if way < 0.2:
        return rng.choice(wordings.NEUTRAL)
    if way < 0.6:
        said: str = rng.choice(sentences.SENTENCES["neutral"]["asks_zh" if chinese else "asks_en"])
        return said
    return _wrapped(rng, context(rng, chinese=chinese), chinese=chinese)


def about(topic: str, rng: Rng, *, wanted: bool) -> str:
    """One instruction that wants, or does not want, what is about `topic`."""
    if rng.random() < WRITTEN_SHARE:
        said, _ = _written("about" if wanted else "not", rng, name="{x}",
                           composed=lambda zh: _framed_topic(rng, chinese=zh, wanted=wanted))  # fmt: skip
        return _about_unless_held(said, topic, rng, wanted=wanted)
    chinese = rng.random() < (0.6 if any("\u4e00" <= letter <= "\u9fff" for letter in topic) else 0.08)
    end = "_zh" if chinese else ""
    if rng.random() < 0.5:
        core = _word(rng, ("about" if wanted else "not") + end).replace("{r}", _word(rng, "relations"))
    else:
        core = _framed_topic(rng, chinese=chinese, wanted=wanted)
    return _about_unless_held(_wrapped(rng, core, chinese=chinese), topic, rng, wanted=wanted)


def _about_unless_held(said: str, topic: str, rng: Rng, *, wanted: bool) -> str:
    held = (*wordings.HELD_OUT["not"], *wordings.HELD_OUT["about"])
    return about(topic, rng, wanted=wanted) if said.replace("{x}", "{0}") in held else said.replace("{x}", topic)


def _framed_topic(rng: Rng, *, chinese: bool, wanted: bool) -> str:
    if chinese:
        topic = _word(rng, "relations_zh").replace("{d}", rng.choice(DOCUMENTS_ZH))
        rest = "其他" + rng.choice(DOCUMENTS_ZH)
    else:
        topic = f"{rng.choice(DOCUMENTS_EN)} {_word(rng, 'relations')} {{x}}"
        topic, rest = (_word(rng, "topics") if rng.random() < 0.25 else topic), _word(rng, "other_topics")
    core = _filled(_frame(rng, chinese=chinese), rng, *((topic, rest) if wanted else (rest, topic)))
    # A frame may name the other side only.
    return core if "{x}" in core else _framed_topic(rng, chinese=chinese, wanted=wanted)
