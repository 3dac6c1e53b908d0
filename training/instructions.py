"""Wordings of the preferences that the reranker learns, and of instructions without a preference.

The held-out wordings are in held_out_instructions.json and are never trained on.
"""

import itertools
import json
from pathlib import Path

DEFAULT = "Given a web search query, retrieve relevant passages that answer the query"
DEFAULT_PASSAGES = "Given the user query, retrieval the relevant passages"
HELD_OUT = Path(__file__).with_name("held_out_instructions.json")

NEUTRAL = [
    DEFAULT,
    DEFAULT_PASSAGES,
    "Given a question, find the passages that answer it",
    "Retrieve documents that are relevant to the query",
    "Find text that helps to answer the question, in any language",
    "The language of a document does not matter; judge its content only",
    "Code and prose are equally good as long as they answer the query",
    "根据查询检索相关的段落",
    "给定一个问题，找出能够回答它的文档",
    "请判断文档是否与查询相关，语言不限",
]

_FRAMES_EN = [
    "Prefer {0}", "Prefer {0}.", "Please prefer {0}", "I would rather read {0}", "I prefer {0}",
    "Rank {0} first", "Rank {0} higher", "Put {0} first", "Put {0} at the top", "Favour {0}",
    "Favor {0} over everything else", "Give priority to {0}", "Prioritise {0}",
    "Show {0} before the others", "Only {0} are useful to me", "We need {0}", "Users want {0}",
    "The reader wants {0}", "Retrieve {0} that answer the query", "Find {0} relevant to the query",
    "Given a query, retrieve {0}", "Judge {0} as more relevant", "Look for {0}",
    DEFAULT + ". Prefer {0}", DEFAULT + "; {0} come first", "Answer from {0} where possible",
]  # fmt: skip
_FRAMES_ZH = [
    "优先{0}", "请优先选择{0}", "优先返回{0}", "优先考虑{0}。", "请把{0}排在前面", "{0}优先",
    "我更想看{0}", "我需要{0}", "请检索{0}", "只要{0}", "{0}更相关", "根据查询检索{0}",
    "用户希望看到{0}", "请把{0}放在最前面", "尽量给出{0}",
]  # fmt: skip
_PHRASES = {
    "zh": (
        ["documents in Chinese", "Chinese documents", "Chinese passages", "texts in Chinese",
         "Chinese-language sources", "passages written in Chinese", "answers in Chinese",
         "material in Mandarin Chinese", "results in the Chinese language"],
        ["中文文档", "中文资料", "中文内容", "用中文写的文档", "汉语文章", "中文回答", "中文段落"],
    ),
    "en": (
        ["documents in English", "English documents", "English passages", "texts in English",
         "English-language sources", "passages written in English", "answers in English",
         "material in English", "results in the English language"],
        ["英文文档", "英文资料", "英文内容", "用英文写的文档", "英语文章", "英文回答", "英文段落"],
    ),
    "code": (
        ["source code", "code", "code over prose", "program code", "Python functions",
         "implementations", "code examples", "snippets of code", "function definitions",
         "the implementation rather than the description", "documents that contain source code"],
        ["源代码", "代码", "代码示例", "函数实现", "程序代码", "包含代码的文档", "具体实现"],
    ),
    "prose": (
        ["documentation", "explanations in plain words", "prose over code", "descriptions",
         "prose", "written explanations", "documentation rather than source code",
         "textual explanations", "documents without code", "natural language documents"],
        ["文档说明", "文字说明", "自然语言描述", "解释性文字", "不含代码的文档", "说明文字"],
    ),
}  # fmt: skip
_AVOIDED = {"zh": "en", "en": "zh", "code": "prose", "prose": "code"}
_AVOID_EN = ["Avoid {0}", "Do not show {0}", "No {0}, please", "Rank {0} last", "{0} are not wanted"]
_AVOID_ZH = ["不要{0}", "请把{0}排在后面", "避免{0}"]


def preferring(kind: str) -> list[str]:
    """All trained wordings that prefer documents of this kind."""
    english, chinese = _PHRASES[kind]
    bad_english, bad_chinese = _PHRASES[_AVOIDED[kind]]
    told = [
        *itertools.product(_FRAMES_EN, english), *itertools.product(_FRAMES_ZH, chinese),
        *itertools.product(_AVOID_EN, bad_english[:5]), *itertools.product(_AVOID_ZH, bad_chinese),
    ]  # fmt: skip
    held = set(held_out(kind))
    return [text for text in (frame.format(phrase) for frame, phrase in told) if text not in held]


def held_out(kind: str) -> list[str]:
    return json.loads(HELD_OUT.read_text(encoding="utf-8"))[kind]
