"""The scripted chatbot reads the first source of a search, and stops where a tool refuses."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tests.clients.chatbot import QUESTIONS, converse
from tests.clients.services import CORPUS


class Tools:
    """Answers like the tools of a service that holds one document."""

    def __init__(self, *, refuses: str = "") -> None:
        self.called: list[str] = []
        self._refuses = refuses

    async def call_tool(self, name: str, arguments: dict[str, str]) -> Any:
        self.called.append(name)
        found = {"id": "docs/heron", "title": "Heron", "url": "winnow://docs/heron", "text": "It fishes."}
        said = {"results": [found]} if name == "search" else found | {"id": arguments.get("id")}
        return SimpleNamespace(is_error=name == self._refuses, content=[SimpleNamespace(text=json.dumps(said))])


async def test_the_reply_cites_the_document_that_was_read() -> None:
    tools: Any = Tools()
    reply = await converse(tools, "How does a heron catch fish?")
    assert tools.called == ["search", "fetch"]
    assert (reply.source, reply.text) == ("docs/heron", "It fishes. [Heron](winnow://docs/heron)")


@pytest.mark.parametrize("tool", ["search", "fetch"])
async def test_a_tool_that_refuses_ends_the_conversation(tool: str) -> None:
    tools: Any = Tools(refuses=tool)
    with pytest.raises(RuntimeError, match=f"{tool} refused"):
        await converse(tools, "How does a heron catch fish?")


def test_the_questions_are_about_documents_of_both_languages() -> None:
    known = {json.loads(line)["_id"] for line in (CORPUS / "corpus.jsonl").read_text(encoding="utf-8").splitlines()}
    assert set(QUESTIONS) <= known
    assert sorted(name.split("-")[1] for name in QUESTIONS) == 5 * ["en"] + 5 * ["zh"]
