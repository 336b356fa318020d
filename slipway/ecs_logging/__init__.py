"""Logs of every process: lines of JSON in Elastic Common Schema, or text for a person, without secrets."""

from slipway.ecs_logging.process_logs import start
from slipway.ecs_logging.redacting_filter import RedactingFilter
from slipway.ecs_logging.redaction import Redaction, known_secrets

__all__ = ["RedactingFilter", "Redaction", "known_secrets", "start"]
