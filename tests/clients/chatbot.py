"""A scripted chatbot over MCP: a chat model that calls search, then fetch, and answers with its source.

    python -m tests.clients.chatbot

Ten questions about data/corpus, English and Chinese, against a real service with the bundled models and all of it
in one collection. Prints each question with the source that was first, and the figure; exits with 1 where fewer than
nine sources are right. The questions are about every 20th document, in plain words, and were written before any was
asked; data/corpus/queries.jsonl holds harder ones, which measure the models.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.clients.services import chatbot_service

QUESTIONS: Final = {  # by the document that answers them
    "legal-en-004": "May the seller deliver the goods before the delivery date, or in several parts?",
    "legal-en-024": "Which clause sends disputes under the distribution agreement to arbitration?",
    "legal-zh-017": "承租人可以把租来的东西转租给别人吗？",
    "support-en-009": "Why does the sync client stay on Pending?",
    "support-zh-003": "忘记了 Hub 的管理员密码怎么办？",
    "support-zh-023": "在局域网里往 Hub 拷贝文件很慢，是什么原因？",
    "technical-en-008": "How do we stop losing order events if the service crashes before it publishes to the broker?",
    "technical-zh-018": "采集来的网页语料怎样清洗近重复的内容？",
    "papers-en-004": "Is there a survey of large language models as rerankers?",
    "papers-zh-013": "有没有用扩散模型做降水统计降尺度的论文？",
}
RIGHT_MIN: Final = 9  # of them
TURNS_MAX: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """What a chat model wants to be called."""

    name: str
    arguments: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a chat model says in the end."""

    text: str
    source: str  # id of the document


def scripted_model(messages: Sequence[dict[str, Any]]) -> ToolCall | Reply:
    """Decide the next step as a chat model would: search for the question, read the first source, answer from it."""
    last = messages[-1]
    if last["role"] == "user":
        return ToolCall(name="search", arguments={"query": last["content"]})
    said = json.loads(last["content"])
    if last["tool"] == "search":
        return ToolCall(name="fetch", arguments={"id": said["results"][0]["id"]})
    return Reply(text=f"{said['text']} [{said['title']}]({said['url']})", source=said["id"])


async def converse(client: Client, question: str) -> Reply:
    """Run the loop of tools until the model replies. Raises RuntimeError where a tool refuses or it does not end."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    for _ in range(TURNS_MAX):
        step = scripted_model(messages)
        if isinstance(step, Reply):
            return step
        answer = await client.call_tool(step.name, step.arguments)
        content: Any = answer.content[0]
        if answer.is_error:
            raise RuntimeError(f"{step.name} refused: {content.text}")
        messages.append({"role": "tool", "tool": step.name, "content": content.text})
    raise RuntimeError(f"the model did not reply within {TURNS_MAX} turns")


async def answered(url: str, key: str, questions: Iterable[str]) -> list[Reply]:
    """Ask each question in a conversation of its own, over streamable HTTP."""
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=120) as http:
        replies = []
        for question in questions:
            async with Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client:
                replies.append(await converse(client, question))
    return replies


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, chatbot_service(Path(folder)) as (url, key):
        replies = asyncio.run(answered(url, key, QUESTIONS.values()))
    right = 0
    for (expected, question), reply in zip(QUESTIONS.items(), replies, strict=True):
        source = reply.source.partition("/")[2]
        right += source == expected
        print(f"{'right' if source == expected else 'WRONG'}  {source:18} {question}")
    print(f"The right source was first for {right} of {len(QUESTIONS)} questions.")
    return 0 if right >= RIGHT_MIN else 1


if __name__ == "__main__":
    sys.exit(main())
