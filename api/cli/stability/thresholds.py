"""`winnow stability thresholds`: limits on how far rankings may move before an alert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from winnow.api.cli.options import Json, TenantOption, open_tenant, own_name, with_settings
from winnow.api.cli.stability.perturb import stability
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount
from winnow.api.settings import Settings
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from winnow.retrieval.catalog.stability_alerts import Thresholds

__all__ = ["stability"]  # the group, with these commands in it

ALL_COLLECTIONS: Final = "(all others)"

thresholds = typer.Typer(help="Limits on how far rankings may move before an alert.", no_args_is_help=True)
stability.add_typer(thresholds, name="thresholds")

OfCollection = Annotated[
    str | None,
    typer.Option(
        "--collection",
        "-c",
        metavar="NAME",
        help="Only for this collection; by default for every collection without thresholds of its own.",
        callback=own_name,
    ),
]


def _limit(flag: str, meaning: str) -> Any:
    return typer.Option(flag, metavar="X", help=meaning, show_default=False)


@thresholds.command("set")
@with_settings("data")
def set_thresholds(
    *,
    collection: OfCollection = None,
    top1_change_rate_max: Annotated[
        float | None, _limit("--top1-change-rate-max", "Most queries with another first passage, from 0 to 1.")
    ] = None,
    overlap_at_10_min: Annotated[
        float | None, _limit("--overlap-at-10-min", "Least mean overlap of the first ten places, from 0 to 1.")
    ] = None,
    rbo_min: Annotated[float | None, _limit("--rbo-min", "Least mean rank-biased overlap, from 0 to 1.")] = None,
    tau_b_min: Annotated[float | None, _limit("--tau-b-min", "Least mean Kendall's tau-b, from -1 to 1.")] = None,
    score_shift_max: Annotated[
        float | None, _limit("--score-shift-max", "Largest shift of a single score; at least 0.")
    ] = None,
    degraded_max: Annotated[
        float | None, _limit("--degraded-max", "Most degraded answers of the run, from 0 to 1.")
    ] = None,
    queries_min: Annotated[
        int,
        typer.Option(
            "--queries-min", metavar="N", help="Check runs with fewer compared queries only for degraded answers."
        ),
    ] = 1,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Set the thresholds of a tenant, or of one of its collections, in place of earlier ones.

    Each run of a golden set that is not made the baseline is compared with them. A measure beyond its limit is counted,
    logged, written to the audit log, and sent to the tenant's webhook (`winnow stability webhook`).
    """
    terminal = Terminal(json=json)
    from winnow.api.fields import parsed
    from winnow.api.schemas.alerts.thresholds import ThresholdsBody
    from winnow.retrieval.tenancy import COMMAND_LINE

    fields = {
        "collection": collection,
        "top1_change_rate_max": top1_change_rate_max,
        "overlap_at_10_min": overlap_at_10_min,
        "rbo_min": rbo_min,
        "tau_b_min": tau_b_min,
        "score_shift_max": score_shift_max,
        "degraded_max": degraded_max,
        "queries_min": queries_min,
    }
    body = parsed(ThresholdsBody, fields)
    folder, owner = open_tenant(settings, tenant)
    if collection is not None:
        folder.catalog.collections.get(owner, collection)
    folder.catalog.thresholds.put(body.thresholds(owner), by=COMMAND_LINE)
    _show(terminal, folder.catalog.thresholds.of_tenant(owner))


@thresholds.command("show")
@with_settings("data")
def show_thresholds(*, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False) -> None:
    """Show the thresholds of a tenant and its collections."""
    terminal = Terminal(json=json)
    folder, owner = open_tenant(settings, tenant)
    _show(terminal, folder.catalog.thresholds.of_tenant(owner))


@thresholds.command("remove")
@with_settings("data")
def remove_thresholds(
    *,
    collection: OfCollection = None,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Remove the thresholds for all collections, or with --collection those of one. Prints the rest."""
    terminal = Terminal(json=json)
    from winnow.retrieval.tenancy import COMMAND_LINE

    folder, owner = open_tenant(settings, tenant)
    folder.catalog.thresholds.remove(owner, collection, by=COMMAND_LINE)
    _show(terminal, folder.catalog.thresholds.of_tenant(owner))


def _show(terminal: Terminal, found: Sequence[Thresholds]) -> None:
    from winnow.api.schemas.alerts.thresholds import FIELDS, thresholds_response

    if terminal.is_json:
        terminal.answer(thresholds_response(found))
        return
    if not found:
        terminal.say("No thresholds are set: runs of golden sets raise no alerts.")
        return
    terminal.table(
        [
            Column(name="collection", style="bold"),
            *(Column(name=name, right=True) for name in FIELDS.values()),
            Column(name="queries_min", right=True),
        ],
        [
            (
                each.collection or ALL_COLLECTIONS,
                *(f"{each.limits[measure]:g}" if measure in each.limits else "" for measure in FIELDS),
                amount(each.queries_min),
            )
            for each in found
        ],
    )
