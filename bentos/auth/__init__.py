"""Access: who may reach the server, who may use which route, and how often.

gate = Gate(settings, secret)
waits = gate.admit(head, "predict", scope)  # raises Refused or Unavailable
if waits is not None:
    await waits  # a token that needs its issuer's keys, or a count in Redis
"""

from bentos.auth.authenticator import Authenticator
from bentos.auth.bind_guard import check, configured, is_loopback, listening_addresses
from bentos.auth.cors import Cors

__all__ = ["Authenticator", "Cors", "check", "configured", "is_loopback", "listening_addresses"]
