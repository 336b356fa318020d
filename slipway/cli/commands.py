"""The table of commands: each name with the module that holds its function `command`, and its line of help.

A command lives in the package of the work that it starts; naming its module as text keeps `slipway` free of imports
of the other packages, and `slipway --help` loads none of them.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["COMMANDS", "Command"]


class Command(NamedTuple):
    """A command's module, and its line of help."""

    module: str
    help: str


COMMANDS = {
    "doctor": Command("slipway.commands.doctor", "Check this machine and what runs; each problem has its fix."),
    "train": Command("pipelines.commands.train", "Run a use case's pipeline: data in, a registered version out."),
    "predict": Command("bentos.commands.predict", "Answer rows, a file or an image without a server."),
    "promote": Command("monitoring.commands.promote", "Make a version the champion."),
    "rollback": Command("monitoring.commands.rollback", "Take back the canary, else the champion."),
    "history": Command("monitoring.commands.history", "Say what happened to a model, who did it, and what stands."),
    "find": Command("monitoring.commands.find", "Find predictions by id, trace.id or key; say what changed."),
    "package": Command("bentos.commands.package", "Make a Bento and an image of a version."),
    "serve": Command("bentos.commands.serve", "Serve use cases over HTTP."),
    "keys": Command("slipway.commands.keys", "Create, list and revoke API keys."),
    "follow": Command("bentos.commands.follow", "Bring the registry's choice to the servers of this machine."),
    "ship": Command("monitoring.commands.ship", "Move the prediction log to Parquet."),
    "watch": Command("monitoring.commands.watch", "Keep registry and servers in agreement; show their state."),
    "elk": Command("monitoring.commands.elk", "Set up Elasticsearch and Kibana; say how the streams are."),
    "monitor": Command("monitoring.commands.monitor", "Compare logged predictions with the reference."),
    "feedback": Command("monitoring.commands.feedback", "Send labels that arrive later than the predictions."),
    "forget": Command("monitoring.commands.forget", "Remove a subject's predictions and labels, for good."),
    "traffic": Command("scenarios.commands.traffic", "Send realistic requests, with drift of a chosen kind."),
    "smoke": Command("bentos.commands.smoke", "Check a deployment as a client does."),
    "status": Command("monitoring.commands.status", "Say what runs, where, and in which version."),
    "up": Command("slipway.commands.up", "Start the whole stack and keep it running."),
    "down": Command("slipway.commands.down", "End what `up` started."),
    "demo": Command("scenarios.commands.demo", "Run the whole path once and check every part of it."),
}
