"""On whose behalf: the tenant that owns something, and the actor that the audit log names."""

from __future__ import annotations

from typing import Final, NewType

Actor = NewType("Actor", str)  # `key:ID`, or one of these
COMMAND_LINE: Final = Actor("command-line")  # somebody who may write the catalog directly
DEPLOYMENT_KEY: Final = Actor("deployment-key")  # WINNOW_API_KEY
LOOPBACK: Final = Actor("loopback")  # this machine, while there is no key

TenantName = NewType("TenantName", str)
DEFAULT_TENANT: Final = TenantName("default")  # whose everything is where nobody has made tenants
