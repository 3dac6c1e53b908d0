"""Turns a conversation into the query of a search. Knows no HTTP: the chat model is asked by retrieval/chat."""

from __future__ import annotations

from dataclasses import replace

from winnow.api.search.records import Question
from winnow.retrieval.chat.conversation import Conversation
from winnow.retrieval.chat.rewriting import ChatRewriter, RewriteReason, Rewriting
from winnow.retrieval.deadline import Deadline


class Conversations:
    """Finds the query of conversations, with a chat model if the operator has one."""

    def __init__(self, rewriter: ChatRewriter | None = None) -> None:
        self.rewriter = rewriter

    async def resolved(self, question: Question, deadline: Deadline) -> Question:
        """Return the question with the query of its conversation. Never fails: the last turn is always a query."""
        if question.conversation is None:
            return question
        rewriting = await self._rewritten(question, question.conversation, deadline)
        return replace(question, query=rewriting.query, rewriting=rewriting)

    async def _rewritten(self, question: Question, conversation: Conversation, deadline: Deadline) -> Rewriting:
        if not question.rewrites:
            reason = RewriteReason.NOT_REQUESTED
        elif self.rewriter is None:
            reason = RewriteReason.NOT_CONFIGURED
        elif conversation.is_single_turn:
            reason = RewriteReason.SINGLE_TURN
        else:
            return await self.rewriter.rewrite(conversation, tenant=question.tenant, deadline=deadline)
        return Rewriting(query=conversation.last, reason=reason)
