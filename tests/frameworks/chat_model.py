"""A chat model by script, on loopback, in the shape of OpenAI's API.

It finds sources that are numbered as `[1] ...` or `Source 1:`, and quotes the first and the last of them with their
numbers. So an answer is right only if the sources arrived, in the order in which the search returned them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.frameworks.json_server import answering

SOURCE: Final = re.compile(r"^(?:\[(\d+)\]|Source (\d+):)", re.MULTILINE)
AFTER: Final = re.compile(r"^(?:-{3,}|Question:|Query:)", re.MULTILINE)  # what follows the last source
ABSTAINED: Final = "The sources do not say."


@dataclass(slots=True)
class ChatModel:
    """The model: its address, and the prompts that it was given."""

    url: str = ""
    prompts: list[str] = field(default_factory=list)


def answer_to(prompt: str) -> str:
    """Return the beginning of the first source and of the last, each with its number."""
    pieces = SOURCE.split(prompt)
    sources = {
        int(bracketed or labelled): text  # an example in the prompt has numbers, too; the real sources come after it
        for bracketed, labelled, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True)
    }
    if not sources:
        return ABSTAINED
    return " ".join(f"{_beginning(sources[number])} [{number}]." for number in sorted({min(sources), max(sources)}))


def _beginning(text: str) -> str:
    """Return the first sentence of the longest line, which is no title."""
    return max(AFTER.split(text)[0].splitlines(), key=len).split(". ")[0].rstrip(".")


def _completion(text: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


@contextmanager
def chat_model() -> Iterator[ChatModel]:
    """Serve one until the block is left."""
    model = ChatModel()

    def answer(body: dict[str, Any], _: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        prompt = "\n".join(_text_of(each["content"]) for each in body["messages"])
        model.prompts.append(prompt)
        return 200, _completion(answer_to(prompt))

    with answering(answer) as url:
        model.url = f"{url}/v1"
        yield model


def _text_of(content: str | list[dict[str, str]]) -> str:
    return content if isinstance(content, str) else "\n".join(each.get("text", "") for each in content)
