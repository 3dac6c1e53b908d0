"""Tenants, which own data, and actors, which the audit log names.

A `TenantName` is created only from a row of the catalog, and so from a key; never from a request's text
(tests/unit/test_isolation.py lists the modules that may). Lookups of collections require this type, so the type checker
refuses a plain text, and no caller can reach another tenant's data.
"""

from __future__ import annotations

from typing import Final, NewType

Actor = NewType("Actor", str)  # `key:ID`, or one of these
COMMAND_LINE: Final = Actor("command-line")  # anyone who can write the catalog directly
DEPLOYMENT_KEY: Final = Actor("deployment-key")  # WINNOW_API_KEY
LOOPBACK: Final = Actor("loopback")  # this machine, until there is a key
WATCH: Final = Actor("stability-watch")  # winnow itself, when a run breaches a threshold

TenantName = NewType("TenantName", str)
DEFAULT_TENANT: Final = TenantName("default")  # owns everything until tenants are created
