"""Access: who may reach the server, who may use which route, and how often.

gate = Gate(settings, secret)
waits = gate.admit(head, "predict", scope)  # raises Refused or Unavailable
if waits is not None:
    await waits  # a token that needs its issuer's keys, or a count in Redis
"""

from bentos.access.cors import Cors
from bentos.access.door import EXIT_UNSAFE, check, configured, is_loopback, listening_addresses, refuse_unsafe
from bentos.access.gate import Gate

__all__ = [
    "EXIT_UNSAFE",
    "Cors",
    "Gate",
    "check",
    "configured",
    "is_loopback",
    "listening_addresses",
    "refuse_unsafe",
]
