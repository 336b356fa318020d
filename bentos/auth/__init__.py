"""Authentication, authorization by scopes and use cases, and limits of requests and rows.

authenticator = Authenticator(settings, secret)
pending = authenticator.admit(context, "predict", scope, usecase)  # raises Refused or Unavailable
if pending is not None:
    await pending  # a token that needs its issuer's keys, or a count in Redis
if authenticator.limits_rows(context):
    await authenticator.charge_rows(context, scope, rows, "instances")  # raises Refused or InputError
"""

from bentos.auth.authenticator import Authenticator
from bentos.auth.bind_guard import check_bind_address, listening_addresses
from bentos.auth.cors import Cors

__all__ = [
    "Authenticator",
    "Cors",
    "check_bind_address",
    "listening_addresses",
]
