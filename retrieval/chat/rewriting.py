"""Makes a stand-alone question of a conversation, through a chat model of the operator.

Rule 1: it never fails: where the model does not answer in time, or not with a question, the last turn is the question,
and the reason is told. Rule 2: each conversation is one call, within a share of its request's deadline. Rule 3: a model
that does not answer is left alone (retrieval/chat/breaker.py) and checked in the background, but only while somebody
asks. Rule 4: logs and traces have reasons and numbers, no text.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
import time
from collections import Counter
from contextvars import Context
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from winnow.retrieval import tracing
from winnow.retrieval.chat.answer import declines, question_in
from winnow.retrieval.chat.breaker import Breaker, BreakerLimits
from winnow.retrieval.chat.client import ChatClient, ChatFailed, ChatFault, Completion
from winnow.retrieval.chat.conversation import Conversation, Role, Turn, prompt_of
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.limits import REWRITE_TOKENS_MAX, REWRITES_IN_FLIGHT_MAX
from winnow.retrieval.tenancy import TenantName
from winnow.retrieval.tracing import stage

DEADLINE_SHARE: Final = 0.5  # of what is left of a request; the search needs the rest
LOG_SECONDS: Final = 60.0  # between two lines of the log about one reason
_SALT_CHARACTERS: Final = 16
_CHECKED: Final = Conversation(
    turns=(
        Turn(role=Role.USER, text="How high is the Eiffel Tower?"),
        Turn(role=Role.ASSISTANT, text="It is 330 metres high."),
        Turn(role=Role.USER, text="And who built it?"),
    )
)

log = logging.getLogger(__name__)


class RewriteStatus(StrEnum):
    """What became of a conversation."""

    APPLIED = "applied"  # the model's question is the query
    SKIPPED = "skipped"  # the last turn is the query, and nothing failed
    DEGRADED = "degraded"  # the last turn is the query, because rewriting failed


class RewriteReason(StrEnum):
    """Why the last turn is the query. The list is closed."""

    NOT_REQUESTED = "not_requested"  # by `rewrite: false`
    NOT_CONFIGURED = "not_configured"
    SINGLE_TURN = "single_turn"
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    BREAKER_OPEN = "breaker_open"
    REFUSED = "refused"  # the model or its server declines
    UNUSABLE_ANSWER = "unusable_answer"  # empty, too long, or no question of this conversation


SKIPPED: Final = frozenset({RewriteReason.NOT_REQUESTED, RewriteReason.NOT_CONFIGURED, RewriteReason.SINGLE_TURN})
_REASONS: Final = {
    ChatFault.SILENT: RewriteReason.TIMEOUT,
    ChatFault.BUSY: RewriteReason.OVERLOADED,
    ChatFault.DECLINED: RewriteReason.REFUSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """How the query of a conversation came about."""

    query: str
    reason: RewriteReason | None  # None: a chat model wrote it
    model: str | None = None  # that was asked
    tokens: int = 0  # that the model's server says it read and wrote
    ms: float | None = None  # None: no model was asked

    @property
    def status(self) -> RewriteStatus:
        if self.reason is None:
            return RewriteStatus.APPLIED
        return RewriteStatus.SKIPPED if self.reason in SKIPPED else RewriteStatus.DEGRADED


class ChatRewriter:
    """Rewrites conversations with one model. Use and `close()` it in one event loop."""

    def __init__(
        self, client: ChatClient, *, secret: bytes, timeout_ms: float, limits: BreakerLimits | None = None
    ) -> None:
        """`secret` turns tenant names into salts that cannot be guessed."""
        self._client = client
        self._secret = secret
        self._seconds_max = timeout_ms / 1000.0
        self._breaker = Breaker(limits or BreakerLimits())
        self._in_flight = 0
        self._checking: asyncio.Task[None] | None = None
        self._untold: Counter[RewriteReason] = Counter()
        self._told_at: dict[RewriteReason, float] = {}

    @property
    def runs_on(self) -> str:
        """For operators."""
        return f"{self._client.model} at {self._client.url}"

    @property
    def problem(self) -> str | None:
        """Why the model is left alone; None: it is in use."""
        return self._breaker.problem

    async def close(self) -> None:
        """Stop a check and close all connections."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        await self._client.close()

    async def rewrite(self, conversation: Conversation, *, tenant: TenantName, deadline: Deadline) -> Rewriting:
        """Return the question, or the last turn with a reason."""
        began = time.perf_counter()
        with stage("rewrite") as rewriting:
            question, reason, tokens = await self._question(conversation, tenant, deadline)
            rewriting.note(
                {
                    tracing.OPERATION: "chat",
                    tracing.PROVIDER: "openai",  # the interface; whose model it is, is not known
                    tracing.MODEL: self._client.model,
                    "winnow.rewrite.tokens": tokens,
                    "winnow.rewrite.status": "applied" if reason is None else reason.value,
                }
            )
            if reason is not None:
                rewriting.note_failure(reason.value)
                self._tell(reason)
        return Rewriting(
            query=question,
            reason=reason,
            model=self._client.model,
            tokens=tokens,
            ms=1000.0 * (time.perf_counter() - began),
        )

    async def _question(
        self, conversation: Conversation, tenant: TenantName, deadline: Deadline
    ) -> tuple[str, RewriteReason | None, int]:
        self._check_if_due()
        if self._breaker.is_open:
            return conversation.last, RewriteReason.BREAKER_OPEN, 0
        if self._in_flight >= REWRITES_IN_FLIGHT_MAX:
            return conversation.last, RewriteReason.OVERLOADED, 0
        seconds = min(self._seconds_max, DEADLINE_SHARE * deadline.remaining_seconds)
        salt, began = self._salt(tenant), time.monotonic()
        try:
            answer = await self._ask(conversation, salt, seconds)
        except ChatFailed as failed:
            if self._breaker.failed(failed, seconds=seconds, since=began, now=time.monotonic()):
                self._log_opened()
            self._check_if_due()
            return conversation.last, _REASONS.get(failed.fault, RewriteReason.UNAVAILABLE), 0
        if self._breaker.answered(time.monotonic()):
            self._log_closed()
        if answer.is_refused or declines(answer.text, conversation):
            return conversation.last, RewriteReason.REFUSED, answer.tokens
        question = question_in(answer.text, conversation, salt=salt) if answer.is_whole else None
        if question is None:
            return conversation.last, RewriteReason.UNUSABLE_ANSWER, answer.tokens
        return question, None, answer.tokens

    async def _ask(self, conversation: Conversation, salt: str, seconds: float) -> Completion:
        self._in_flight += 1
        try:
            return await self._client.complete(
                prompt_of(conversation, salt=salt), tokens_max=REWRITE_TOKENS_MAX, seconds=seconds
            )
        finally:
            self._in_flight -= 1

    def _check_if_due(self) -> None:
        now = time.monotonic()
        if self._breaker.is_check_due(now) and (self._checking is None or self._checking.done()):
            self._breaker.began_check(now)
            # A request may begin this: the check is no part of it, nor of its trace.
            self._checking = asyncio.get_running_loop().create_task(self._check(), context=Context())

    async def _check(self) -> None:
        """Ask for the question of a known conversation; any answer closes the breaker."""
        began = time.monotonic()
        try:
            await self._client.complete(
                prompt_of(_CHECKED, salt=self._salt("")), tokens_max=REWRITE_TOKENS_MAX, seconds=self._seconds_max
            )
        except ChatFailed as failed:
            if self._breaker.failed_check(failed, since=began, now=time.monotonic()):
                self._log_opened()
        else:
            if self._breaker.answered(time.monotonic()):
                self._log_closed()

    def _salt(self, tenant: str) -> str:
        return hmac.new(self._secret, tenant.encode(), hashlib.sha256).hexdigest()[:_SALT_CHARACTERS]

    def _tell(self, reason: RewriteReason) -> None:
        """Log a reason at most once in a while: callers can cause it at will."""
        self._untold[reason] += 1
        now = time.monotonic()
        if now - self._told_at.get(reason, -math.inf) >= LOG_SECONDS:
            self._told_at[reason] = now
            facts = {"reason": reason.value, "conversations": self._untold.pop(reason)}
            log.warning("conversations were not rewritten: %s, %d", *facts.values(), extra={"facts": facts})

    def _log_opened(self) -> None:
        log.warning("the chat model that rewrites conversations is left alone: %s", self._breaker.problem)

    def _log_closed(self) -> None:
        log.warning("the chat model that rewrites conversations answers again: %s", self._client.url)
