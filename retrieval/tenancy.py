"""Who changes something? The name under which the audit log remembers them."""

from __future__ import annotations

from typing import Final, NewType

Actor = NewType("Actor", str)  # `key:ID`, or one of these
COMMAND_LINE: Final = Actor("command-line")  # somebody who may write the catalog directly
DEPLOYMENT_KEY: Final = Actor("deployment-key")  # WINNOW_API_KEY
LOOPBACK: Final = Actor("loopback")  # this machine, while there is no key
