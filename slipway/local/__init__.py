"""Local services: the processes of a stack on one machine, which end with their parent, however it ends."""

from __future__ import annotations

from slipway.local.logins import login_file
from slipway.local.services import PORTS, LocalServices, claim_services, local_services, page_links, services
from slipway.local.stack import Stack
from slipway.local.state import State, running_stack, use_running_stack

__all__ = [
    "PORTS",
    "LocalServices",
    "Stack",
    "State",
    "claim_services",
    "local_services",
    "login_file",
    "page_links",
    "running_stack",
    "services",
    "use_running_stack",
]
