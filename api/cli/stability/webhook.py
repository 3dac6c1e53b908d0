"""`winnow stability webhook`: the URL that receives the breached thresholds of a tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from winnow.api.cli.options import Json, TenantOption, open_tenant, with_settings
from winnow.api.cli.stability.thresholds import stability
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.retrieval.catalog.stability_alerts import Webhook

__all__ = ["stability"]  # the group, with these commands in it

webhook = typer.Typer(help="Set the URL that receives breached thresholds.", no_args_is_help=True)
stability.add_typer(webhook, name="webhook")


@webhook.command("set")
@with_settings("data", "webhook_hosts")
def set_webhook(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where messages are sent, http or https.")],
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Set the address of a tenant's webhook. The first time, its secret is printed; it is not shown again.

    The host must be among --webhook-hosts, of this command and of the services that deliver.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.retrieval.limits import WEBHOOK_SECONDS_MAX
    from winnow.retrieval.tenancy import COMMAND_LINE
    from winnow.retrieval.webhook.allowed import AllowedHosts
    from winnow.retrieval.webhook.client import WebhookClient

    client = WebhookClient(AllowedHosts(settings.webhook_hosts))
    try:
        asyncio.run(client.require_allowed(url, seconds=WEBHOOK_SECONDS_MAX))
    except ValueError as refused:
        raise InvalidRequest(f"'url': {refused}", param="url") from refused
    folder, owner = open_tenant(settings, tenant)
    found, is_new = folder.catalog.webhooks.put(owner, url, by=COMMAND_LINE)
    _show(terminal, found, is_new=is_new)


@webhook.command("show")
@with_settings("data")
def show_webhook(*, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False) -> None:
    """Show a tenant's webhook, without its secret."""
    terminal = Terminal(json=json)
    folder, owner = open_tenant(settings, tenant)
    _show(terminal, folder.catalog.webhooks.find(owner), is_new=False)


@webhook.command("rotate")
@with_settings("data")
def rotate_secret(
    *,
    overlap_seconds: Annotated[
        int, typer.Option("--overlap-seconds", metavar="N", help="How long the previous secret signs as well.")
    ] = 86_400,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Create and print another secret. Messages are signed with both during the overlap."""
    terminal = Terminal(json=json)
    from winnow.api.fields import parsed
    from winnow.api.schemas.alerts.webhooks import RotateWebhookBody
    from winnow.retrieval.tenancy import COMMAND_LINE

    body = parsed(RotateWebhookBody, {"overlap_seconds": overlap_seconds})
    folder, owner = open_tenant(settings, tenant)
    _show(terminal, folder.catalog.webhooks.rotate(owner, overlap=body.overlap, by=COMMAND_LINE), is_new=True)


@webhook.command("remove")
@with_settings("data")
def remove_webhook(*, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False) -> None:
    """Remove a tenant's webhook with its secret. Deliveries that wait are given up."""
    terminal = Terminal(json=json)
    from winnow.retrieval.tenancy import COMMAND_LINE

    folder, owner = open_tenant(settings, tenant)
    folder.catalog.webhooks.remove(owner, by=COMMAND_LINE)
    _show(terminal, None, is_new=False)


@webhook.command("deliveries")
@with_settings("data")
def list_deliveries(
    *,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="How many to list.", min=1, max=200)] = 20,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """List the newest deliveries, what became of each, and why the last attempt failed."""
    terminal = Terminal(json=json)
    from winnow.api.schemas.alerts.webhooks import deliveries_response

    folder, owner = open_tenant(settings, tenant)
    found = folder.catalog.outbox.deliveries(owner, limit=limit)
    if json:
        terminal.answer(deliveries_response(found))
        return
    terminal.table(
        [
            Column(name="created", whole=True),
            Column(name="run", right=True),
            Column(name="state", style="bold"),
            Column(name="attempts", right=True),
            Column(name="problem"),
            Column(name="id"),
        ],
        [
            (
                each.created_at.isoformat(timespec="seconds"),
                str(each.run),
                each.state,
                amount(each.attempts),
                each.problem or "",
                each.id,
            )
            for each in found
        ],
    )


def _show(terminal: Terminal, found: Webhook | None, *, is_new: bool) -> None:
    from winnow.api.schemas.alerts.webhooks import webhook_response

    if terminal.is_json:
        terminal.answer(webhook_response(found, is_new=is_new))
    elif found is None:
        terminal.say("No webhook is set.")
    else:
        terminal.say(f"Messages about breached thresholds are sent to {found.url}.")
        if is_new:
            terminal.say("The secret that signs them; it is not shown again:")
            terminal.lines(found.secret)
