"""Whether to send traces, from the standard variables of OpenTelemetry. Its SDK reads the rest of them itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

PROTOCOL: Final = "http/protobuf"  # OpenTelemetry's default
_ENDPOINT: Final = "http://localhost:4318"  # likewise
_PATH: Final = "/v1/traces"  # below an endpoint for all signals
_PACKAGES: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceExport:
    """Whether traces are sent to a collector."""

    is_wanted: bool
    endpoint: str = ""  # URL to which spans are sent, if they are wanted
    problem: str | None = None  # why they are not, although the environment asks for it


def export_of(environment: Mapping[str, str]) -> TraceExport:
    """A value that winnow cannot follow is no reason not to start: such variables are often set for many programs."""

    def first(*names: str) -> str:
        return next((environment[name].strip() for name in names if environment.get(name, "").strip()), "")

    exporter = first("OTEL_TRACES_EXPORTER").lower()
    own, common = first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), first("OTEL_EXPORTER_OTLP_ENDPOINT")
    protocol = first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL") or PROTOCOL
    if first("OTEL_SDK_DISABLED").lower() == "true" or exporter == "none" or not (exporter or own or common):
        return TraceExport(is_wanted=False)
    if exporter not in ("", "otlp"):
        said = f"OTEL_TRACES_EXPORTER={exporter} is not supported; use otlp"
    elif protocol != PROTOCOL:
        said = f"the OTLP protocol {protocol} is not supported; set OTEL_EXPORTER_OTLP_PROTOCOL={PROTOCOL}"
    elif not all(map(_is_installed, _PACKAGES)):
        said = "OpenTelemetry's exporter is not installed; run: pip install 'winnow-search[telemetry]'"
    else:
        return TraceExport(is_wanted=True, endpoint=own or f"{(common or _ENDPOINT).rstrip('/')}{_PATH}")
    return TraceExport(
        is_wanted=False, problem=f"Traces are not sent: {said}. OTEL_TRACES_EXPORTER=none turns them off."
    )


def _is_installed(package: str) -> bool:
    """`find_spec` imports parents, and raises if one is missing."""
    parent, _, _ = package.rpartition(".")
    return (parent == "" or _is_installed(parent)) and find_spec(package) is not None
