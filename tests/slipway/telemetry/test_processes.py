"""Metrics of processes: the limit of their memory, where there is one."""

from __future__ import annotations

import pytest

from slipway.telemetry import processes


@pytest.mark.parametrize("limit", [None, 1 << 30])
def test_the_limit_of_the_memory_is_absent_where_there_is_none(monkeypatch: pytest.MonkeyPatch, limit: int | None):
    monkeypatch.setattr(processes, "limit_bytes", lambda pid: limit)
    families = {family.name: family.samples for family in processes.this_process("watch").collect()}
    assert [sample.value for sample in families["slipway_process_memory_limit_bytes"]] == ([limit] if limit else [])
    assert families["slipway_process_resident_memory_bytes"][0].labels == {"process": "watch"}
