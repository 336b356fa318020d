"""Faults: every alert of the rules is provoked by one."""

from __future__ import annotations

from scenarios.harness.shortened_rules import pending_seconds
from scenarios.observability.scenario import WATCHDOG, every_fault
from slipway.local.monitoring_servers import RULES


def test_each_alert_is_provoked_by_one_fault():
    provoked = [alert for fault in every_fault() for alert in fault.alerts]
    assert sorted([*provoked, WATCHDOG]) == sorted(pending_seconds(RULES))


def test_each_fault_has_words_of_its_own():
    words = [fault.what for fault in every_fault()]
    assert len(set(words)) == len(words)
