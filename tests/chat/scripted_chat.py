"""An OpenAI-compatible chat model on loopback that answers by a script: slowly, wrongly, or not at all."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.loopback import Asked, Loopback, ResponseModel, serving

PATH = "/v1/chat/completions"


def completed(text: str | None, *, finish: str = "stop", tokens: int = 90, **message: Any) -> ResponseModel:
    """A reply as OpenAI writes it."""
    return ResponseModel(
        body={
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "scripted",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
            ],
            "usage": {"prompt_tokens": tokens - 10, "completion_tokens": 10, "total_tokens": tokens},
        }
    )


def refused(status: int, code: str = "error", **fields: Any) -> ResponseModel:
    """An error as OpenAI writes it, whose text repeats what it should not."""
    return ResponseModel(status=status, body={"error": {"message": "sk-repeated-key", "code": code, **fields}})


@dataclass(slots=True)
class ScriptedChat:
    """What the model does next. Asked for a stream, it refuses."""

    answer: Callable[[list[dict[str, str]]], ResponseModel] = lambda _: completed("")
    is_silent: bool = False
    loopback: Loopback = field(default_factory=Loopback)
    never: asyncio.Event = field(default_factory=asyncio.Event)  # what calls without an answer wait for

    @property
    def url(self) -> str:
        return self.loopback.url

    @property
    def calls(self) -> list[Asked]:
        return [each for each in self.loopback.asked if each.path == PATH]

    def says(self, text: str | None, **how: Any) -> None:
        self.answer, self.is_silent = (lambda _: completed(text, **how)), False

    def replies(self, response: ResponseModel) -> None:
        self.answer, self.is_silent = (lambda _: response), False

    async def respond(self, asked: Asked) -> ResponseModel:
        if self.is_silent:
            await self.never.wait()
        if asked.path != PATH:
            return refused(404, "not_found")
        if asked.body.get("stream"):
            return refused(400, "stream_not_supported")
        return self.answer(asked.body["messages"])


@asynccontextmanager
async def chatting() -> AsyncIterator[ScriptedChat]:
    """Runs in the test's own loop until the block is left."""
    chat = ScriptedChat()
    async with serving(chat.respond) as loopback:
        chat.loopback = loopback
        yield chat


@contextmanager
def chatting_beside() -> Iterator[ScriptedChat]:
    """Runs in a thread, for tests that are not in an event loop."""
    started: Future[tuple[ScriptedChat, asyncio.Event]] = Future()

    async def run() -> None:
        async with chatting() as chat:
            ending = asyncio.Event()
            started.set_result((chat, ending))
            await ending.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    chat, ending = started.result(timeout=30)
    try:
        yield chat
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(timeout=30)
        loop.run_until_complete(_cancel_all())
        loop.close()


async def _cancel_all() -> None:
    """End the connections that still wait for an answer."""
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def conversation_in(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The turns that a prompt shows."""
    found, _ = json.JSONDecoder().raw_decode(messages[1]["content"])
    assert isinstance(found, list)
    return found
