"""Whether what a chat model wrote is a question that can be searched for. Pure.

The answer is not trusted: the conversation may have told the model to write something else. What passes is one short
line that shares enough words with the conversation; it is used as a query, and as nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from winnow.retrieval.chat.conversation import Conversation
from winnow.retrieval.lexical.words import WITHOUT_SPACES, analyse_query, words_of
from winnow.retrieval.limits import REWRITE_CHARACTERS_MAX

OWN_WORDS_SHARE: Final = 1 / 3  # of the answer's telling words; good answers use words of their own, too

_THOUGHT: Final = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_LABEL: Final = re.compile(
    r"\A(?:(?:the )?(?:stand-?alone |search |rewritten )*(?:question|query)"
    r"|(?:独立|检索|改写后的|搜索)*(?:问题|查询))\s*[:：]\s*",
    re.IGNORECASE,
)
_QUOTES: Final = {'"': '"', "'": "'", "“": "”", "「": "」", "‘": "’", "`": "`", "«": "»"}
_DECLINED: Final = re.compile(  # not "I cannot log in", which is a question of a user
    r"\A(?:(?:i['’]?m|i am) sorry|sorry,|as an ai\b|i (?:can(?:not|['’]t)|(?:am|['’]m) (?:unable|not able) to)"
    r" (?:help|assist|answer|comply|fulfil|provide|process|do that)"
    r"|(?:很|非常)?抱歉|对不起|我(?:无法|不能)(?:回答|提供|协助|帮助|满足|处理|完成)|作为(?:一个|一名)?(?:人工智能|AI))",
    re.IGNORECASE,
)
_PAIR: Final = re.compile(rf"[{WITHOUT_SPACES}]{{2}}")  # of neighbours, which also count one by one


def question_in(answer: str, conversation: Conversation, *, salt: str) -> str | None:
    """Return the question, without quotes or a label around it; None if the answer is not usable as one."""
    line = _unwrapped(_THOUGHT.sub("", answer, count=1).strip())
    is_leaking = salt in line or "<think>" in line  # of the prompt, or of a thought that did not end
    if not line or len(line) > REWRITE_CHARACTERS_MAX or is_leaking or not _is_line(line):
        return None
    return line if _is_of(conversation, line) else None


def declines(answer: str, conversation: Conversation) -> bool:
    """Whether the model says that it will not do it, in words that are not the user's own."""
    return _opens_declining(_THOUGHT.sub("", answer, count=1)) and not _opens_declining(conversation.last)


def _opens_declining(text: str) -> bool:
    return _DECLINED.match(text.strip()) is not None


def _unwrapped(line: str) -> str:
    bare = _LABEL.sub("", line, count=1)
    if len(bare) > 1 and _QUOTES.get(bare[0]) == bare[-1]:
        bare = bare[1:-1]
    return bare.strip()


def _is_line(line: str) -> bool:
    """Whether it is one line of visible characters."""
    return not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in line)


def _is_of(conversation: Conversation, line: str) -> bool:
    words = {word for word in analyse_query(line).split() if not _PAIR.fullmatch(word)}
    known = {word for turn in conversation.turns for word in words_of(turn.text)}
    return bool(words) and len(words & known) >= OWN_WORDS_SHARE * len(words)
