"""The processes of a laptop home: started together, waited for, and ended with their parent, however it ends."""

from __future__ import annotations

from slipway.local.services import PORTS, Home, home, links, services, settle
from slipway.local.stack import Stack
from slipway.local.state import State, join, running
from slipway.system.ports import free_port
from slipway.system.processes import Process, die_with

__all__ = [
    "PORTS",
    "Home",
    "Process",
    "Stack",
    "State",
    "die_with",
    "free_port",
    "home",
    "join",
    "links",
    "running",
    "services",
    "settle",
]
