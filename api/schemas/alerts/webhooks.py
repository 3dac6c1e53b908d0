"""Requests and answers about webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import Field

from winnow.api.fields import Number, Strict
from winnow.api.schemas.response import JsonObject
from winnow.retrieval.catalog.stability_alerts import Delivery, Webhook
from winnow.retrieval.limits import WEBHOOK_OVERLAP_SECONDS_MAX, WEBHOOK_URL_CHARACTERS_MAX

DELIVERIES_LISTED: Final = 20
DELIVERIES_LISTED_MAX: Final = 200
OVERLAP_SECONDS: Final = 86_400


class WebhookBody(Strict):
    """PUT /v1/stability/webhook"""

    url: Annotated[str, Field(max_length=WEBHOOK_URL_CHARACTERS_MAX, examples=["https://hooks.example.org/winnow"])] = (
        Field(description="Where messages are sent: http or https, to a host that the operator allowed.")
    )


class RotateWebhookBody(Strict):
    """POST /v1/stability/webhook/rotate"""

    overlap_seconds: Annotated[int, Field(ge=0, le=WEBHOOK_OVERLAP_SECONDS_MAX), Number] = Field(
        default=OVERLAP_SECONDS, description="How long the previous secret signs messages as well."
    )

    @property
    def overlap(self) -> timedelta:
        return timedelta(seconds=self.overlap_seconds)


class WebhookResponse(JsonObject):
    """The URL that receives the breaches of a tenant."""

    url: Annotated[str | None, Field(description="null: there is no webhook.")]
    created_at: datetime | None
    secret: Annotated[str | None, Field(description="Only in the answer that created it; null in all others.")]
    previous_secret_until: Annotated[datetime | None, Field(description="Until then a rotated secret signs as well.")]


class DeliveryResponse(JsonObject):
    """A message about the breaches of one run."""

    id: Annotated[str, Field(description="The idempotency key; the same at each attempt.")]
    run: int
    created_at: datetime
    state: Annotated[str, Field(description="waiting, delivered, or undelivered (given up).")]
    attempts: int
    next_at: Annotated[datetime | None, Field(description="Not attempted before; null once it has ended.")]
    ended_at: datetime | None
    problem: Annotated[str | None, Field(description="Why the last attempt failed.")]


class DeliveriesResponse(JsonObject):
    """Deliveries, newest first."""

    deliveries: list[DeliveryResponse]


def webhook_response(webhook: Webhook | None, *, is_new: bool = False) -> WebhookResponse:
    if webhook is None:
        return {"url": None, "created_at": None, "secret": None, "previous_secret_until": None}
    return {
        "url": webhook.url,
        "created_at": webhook.created_at,
        "secret": webhook.secret if is_new else None,
        "previous_secret_until": webhook.previous_until,
    }


def deliveries_response(deliveries: Sequence[Delivery]) -> DeliveriesResponse:
    return {"deliveries": [_delivery(each) for each in deliveries]}


def _delivery(delivery: Delivery) -> DeliveryResponse:
    return {
        "id": delivery.id,
        "run": delivery.run,
        "created_at": delivery.created_at,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "next_at": delivery.next_at if delivery.ended_at is None else None,
        "ended_at": delivery.ended_at,
        "problem": delivery.problem,
    }
