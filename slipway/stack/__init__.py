"""The processes of a laptop home: started together, waited for, and ended with their parent, however it ends."""

from __future__ import annotations

from slipway.stack.laptop import home, services
from slipway.stack.ports import free_port
from slipway.stack.process import Process
from slipway.stack.stack import Stack
from slipway.stack.state import State, join, running

__all__ = ["Process", "Stack", "State", "free_port", "home", "join", "running", "services"]
