"""Dashboard *Resources and GPU*: what the processes use, and what is about to run out."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import links, thresholds, variables
from grafana.addresses import Addresses
from grafana.base import base
from grafana.panels import Panel, above, bound, graph, row, stat
from grafana.queries import SCOPE, now, over_time, quantile, rate

_NAMESPACE = 'namespace=~"$namespace"'
_PROCESS = f'{_NAMESPACE}, process=~"$process"'
_OPEN_FILES = f"max by (process) (slipway_process_open_fds{{{_PROCESS}}} / slipway_process_max_fds{{{_PROCESS}}})"
_FREE = f"min by (folder) (slipway_disk_free_bytes{{{_NAMESPACE}}} / slipway_disk_size_bytes{{{_NAMESPACE}}})"
_GPU_MEMORY = (
    f"max by (gpu) (slipway_gpu_memory_used_bytes{{{_NAMESPACE}}} / slipway_gpu_memory_total_bytes{{{_NAMESPACE}}})"
)


def dashboard(addresses: Addresses) -> Dashboard:
    found = base(
        links.RESOURCES, "Slipway: Resources and GPU", "What do the processes use, and what will run out?", addresses
    )
    for variable in (variables.namespace(), variables.usecases(), variables.processes()):
        found.with_variable(variable)
    sections = {"What is about to run out?": _figures(), "Processes": _processes(), "Load and GPU": _load()}
    for title, panels in sections.items():
        found.with_row(row(title))
        for panel in panels:
            found.with_panel(panel)
    return found


def _figures() -> list[Panel]:
    return [
        stat(
            "Disk free",
            "Free share of the fullest disk: of the state, the prediction log, or temporary files.",
            "percentunit",
            now(f"min({_FREE})"),
            steps=thresholds.DISK_FREE,
            width=6,
            runbook="SlipwayDiskFull",
        ),
        stat(
            "Open files",
            "Share of the files that a process may have open, of the process that is nearest to its limit.",
            "percentunit",
            now(f"max({_OPEN_FILES})"),
            steps=thresholds.OPEN_FILES,
            width=6,
            runbook="SlipwayOpenFilesHigh",
        ),
        stat(
            "Restarts",
            "Starts of processes in the dashboard's time range.",
            "short",
            now(f"sum(changes(slipway_process_start_time_seconds{{{_PROCESS}}}[$__range]))"),
            steps=thresholds.RESTARTS,
            width=6,
            runbook="SlipwayRestartLoop",
        ),
        stat(
            "Next credential expires in",
            "Time until the first API key, certificate or token key of any process expires; its alert says which.",
            "s",
            now(f"min(slipway_credential_expiry_timestamp_seconds{{{_NAMESPACE}}}) - time()"),
            steps=thresholds.CREDENTIAL_EXPIRES,
            width=6,
            runbook="SlipwayCredentialExpires",
            empty="none expires",
        ),
    ]


def _processes() -> list[Panel]:
    return [
        graph(
            "CPU",
            "Cores that each process uses.",
            "short",
            over_time(rate(f"slipway_process_cpu_seconds_total{{{_PROCESS}}}", "process"), "{{process}}"),
        ),
        _memory(),
        graph(
            "Open files",
            "Share of the files that each process may have open.",
            "percentunit",
            over_time(_OPEN_FILES, "{{process}}"),
            steps=thresholds.OPEN_FILES,
            runbook="SlipwayOpenFilesHigh",
        ),
        graph(
            "Disk free",
            "Free share of the disk that each folder is on.",
            "percentunit",
            over_time(_FREE, "{{folder}}"),
            steps=thresholds.DISK_FREE,
            runbook="SlipwayDiskFull",
        ).max(1),
    ]


def _memory() -> Panel:
    found = graph(
        "Memory",
        "Resident memory of each process; the dashed line is what all processes of a server may use together, with "
        "which the alert compares their sum.",
        "bytes",
        over_time(f"max by (process) (slipway_process_resident_memory_bytes{{{_PROCESS}}})", "{{process}}"),
        over_time(f"max(slipway_process_memory_limit_bytes{{{_PROCESS}}})", "limit"),
        runbook="SlipwayMemoryHigh",
    )
    return bound(found, "limit")


def _load() -> list[Panel]:
    return [
        graph(
            "Requests in flight",
            "Requests that run on a worker thread or wait for one: a queue that grows comes before shed requests.",
            "short",
            over_time(f"sum by (usecase) (slipway_requests_in_flight{{{SCOPE}}})", "{{usecase}}"),
        ),
        graph(
            "Rows in a batch",
            "Rows in one run of a model that is run in batches: its median, and its 90th percentile.",
            "short",
            over_time(quantile(0.5, f"slipway_batch_rows{{{SCOPE}}}", "usecase"), "{{usecase}}, p50"),
            over_time(quantile(0.9, f"slipway_batch_rows{{{SCOPE}}}", "usecase"), "{{usecase}}, p90"),
            empty="no model is run in batches",
        ),
        graph(
            "GPU memory",
            "Used share of each GPU's memory.",
            "percentunit",
            over_time(_GPU_MEMORY, "GPU {{gpu}}"),
            steps=above(0.8, 0.95),
            empty="no GPU",
        ).max(1),
        graph(
            "GPU utilization",
            "Share of the time in which each GPU computes.",
            "percentunit",
            over_time(f"max by (gpu) (slipway_gpu_utilization_ratio{{{_NAMESPACE}}})", "GPU {{gpu}}"),
            empty="no GPU",
        ).max(1),
    ]
