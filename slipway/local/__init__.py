"""The processes of a laptop home: started together, waited for, and ended with their parent, however it ends."""

from __future__ import annotations

from slipway.stack.laptop import PORTS, Home, home, services, settle
from slipway.stack.links import links
from slipway.stack.ports import free_port
from slipway.stack.process import Process, answers, die_with
from slipway.stack.stack import Stack
from slipway.stack.state import State, join, running

__all__ = [
    "PORTS",
    "Home",
    "Process",
    "Stack",
    "State",
    "answers",
    "die_with",
    "free_port",
    "home",
    "join",
    "links",
    "running",
    "services",
    "settle",
]
