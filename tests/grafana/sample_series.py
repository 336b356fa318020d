"""Series as a Prometheus records them of two models, one of them with a rollout, in the hour before END.

`credit_risk` runs on Kubernetes, with a namespace; `digits` on a laptop, without one. Some requests fail or are late.
After half an hour version 2 becomes champion, as it was once before, a bundle is refused for the first time, and an
alert fires.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

END = 1_767_225_600  # a fixed time, so that every run asks the same
HOUR, STEP = 3600, 15
Labels = Mapping[str, str | Sequence[str]]
Value = Callable[[int], float]
BUCKETS = ("0.01", "0.025", "0.05", "0.1", "+Inf")
SCORES = [f"{tenths / 10:g}" for tenths in range(1, 10)] + ["1.0", "+Inf"]
MODEL = {"version": ["1", "2"], "role": ["champion", "canary", "shadow"]}
FLOWS = ["train", "monitor"]


def constant(value: float) -> Value:
    return lambda second: value


def rising(per_second: float) -> Value:
    return lambda second: per_second * second


def before_end(seconds: float) -> Value:
    """Return a time that stays the same: `seconds` before END."""
    return constant(END - seconds)


# Each metric by use case, unless its labels name the use cases themselves or it has none
OF_USECASES: dict[str, tuple[Labels, Value]] = {
    "slipway_requests_total": ({"route": ["predict", "feedback"], "code": ["200", "422", "500", "503"]}, rising(2)),
    "namespace_usecase:slipway_requests_slow:ratio5m": ({}, constant(0.05)),
    "slipway_requests_shed_total": ({"reason": ["deadline", "slow"]}, rising(0.2)),
    "slipway_requests_in_flight": ({}, constant(3)),
    "slipway_request_duration_seconds_bucket": ({"route": "predict", "le": BUCKETS}, rising(2)),
    "slipway_model_seconds_bucket": ({**MODEL, "le": BUCKETS}, rising(2)),
    "slipway_model_seconds_count": (MODEL, rising(2)),
    "slipway_batch_rows_bucket": ({"le": ["1", "2", "4", "+Inf"]}, rising(1)),
    "slipway_predictions_total": ({**MODEL, "label": ["good", "bad"]}, rising(2)),
    "slipway_prediction_score_bucket": ({**MODEL, "le": SCORES}, rising(2)),
    "slipway_model_errors_total": ({"version": "2", "role": "canary"}, rising(0.1)),
    "slipway_canary_fallbacks_total": ({"version": "2", "reason": "late"}, rising(0.1)),
    "slipway_shadow_shed_total": ({"version": "2"}, rising(0.1)),
    "slipway_input_warnings_total": ({"feature": ["age", "job"], "reason": "unseen"}, rising(0.3)),
    "slipway_follower_finding": ({"topic": ["registry", "hung"]}, constant(0)),
    "slipway_swaps_total": ({"outcome": ["swapped", "failed"]}, rising(0.01)),
    "slipway_objective_availability_ratio": ({}, constant(0.999)),
    "slipway_objective_latency_seconds": ({}, constant(0.05)),
    "slipway_objective_latency_quantile": ({}, constant(0.99)),
    "namespace_usecase:slipway_availability_budget_left:ratio": ({}, constant(0.4)),
    "namespace_usecase:slipway_latency_budget_left:ratio": ({}, constant(-0.1)),
    "slipway_prediction_log_lost_total": ({}, rising(0.01)),
    "slipway_prediction_log_lag_seconds": ({}, constant(90)),
    "slipway_prediction_log_left_out_files": ({}, constant(1)),
    "slipway_prediction_log_shipped_events_total": ({}, rising(4)),
    "slipway_prediction_log_shipped_segments_total": ({}, rising(0.02)),
    "slipway_prediction_log_ship_failures_total": ({}, rising(0.01)),
    "slipway_prediction_log_sink_lag_seconds": ({"sink": ["Parquet", "Elasticsearch"]}, constant(60)),
    "slipway_prediction_log_refused_documents_total": ({}, rising(0.01)),
    "slipway_prediction_log_retried_documents_total": ({}, rising(0.1)),
    "slipway_drift_detected": ({}, constant(1)),
    "slipway_drift_feature_detected": ({"feature": ["age", "job"]}, constant(1)),
    "slipway_drift_score": ({"feature": ["age", "job"], "method": "ks"}, constant(0.3)),
    "slipway_quality": ({"version": "1", "metric": ["roc_auc", "brier"]}, constant(0.8)),
    "slipway_quality_interval": ({"version": "1", "metric": "roc_auc", "end": ["low", "high"]}, constant(0.8)),
    "slipway_quality_bound": ({"metric": "roc_auc"}, constant(0.68)),
    "namespace_usecase_version_metric:slipway_quality_missed:max": (
        {"version": "1", "metric": "roc_auc"},
        constant(0.6),
    ),
    "slipway_label_coverage_ratio": ({}, constant(0.6)),
    "slipway_labels": ({}, constant(812)),
    "slipway_label_delay_seconds": ({}, constant(86_400)),
    "slipway_rollout_weight_percent": ({"version": "2"}, constant(10)),
    "slipway_rollout_stage": ({"version": "2"}, constant(1)),
    "slipway_rollout_rolled_back_total": ({}, rising(0.001)),
    "slipway_retraining_decisions_total": ({"decision": ["started", "refused"]}, rising(0.001)),
    "slipway_verdict_timestamp_seconds": ({}, before_end(7200)),
    "slipway_verdict_due_timestamp_seconds": ({}, before_end(600)),
    "slipway_versions_altered": ({}, constant(0)),
    "slipway_report_missing": ({"report": ["page", "mlflow"]}, constant(0)),
    "slipway_pipeline_run_timestamp_seconds": ({"flow": FLOWS, "outcome": ["succeeded", "failed"]}, before_end(3000)),
    "slipway_pipeline_run_duration_seconds": ({"flow": FLOWS}, constant(70)),
    "slipway_pipeline_runs_total": ({"flow": FLOWS, "outcome": ["succeeded", "failed"]}, rising(0.001)),
    "slipway_pipeline_due_timestamp_seconds": ({"flow": FLOWS}, before_end(60)),
    "slipway_pipeline_rows": ({"side": ["train", "validation", "holdout"]}, constant(400)),
    "slipway_pipeline_gates": ({"verdict": ["passed", "failed"]}, constant(2)),
    "slipway_usecase_info": ({"owner": "credit-risk@example.com", "task": "binary"}, constant(1)),
}
PROCESS = {"process": ["supervisor", "worker-1", "watch"]}
FOLDER = {"folder": ["state", "log", "tmp"]}
OF_PROCESSES: dict[str, tuple[Labels, Value]] = {
    "slipway_process_cpu_seconds_total": (PROCESS, rising(0.3)),
    "slipway_process_resident_memory_bytes": (PROCESS, constant(2e8)),
    "slipway_process_memory_limit_bytes": (PROCESS, constant(1e9)),
    "slipway_process_open_fds": (PROCESS, constant(80)),
    "slipway_process_max_fds": (PROCESS, constant(1024)),
    "slipway_process_start_time_seconds": (PROCESS, before_end(5000)),
    "slipway_disk_free_bytes": (FOLDER, constant(2e9)),
    "slipway_disk_size_bytes": (FOLDER, constant(1e10)),
    "slipway_gpu_memory_used_bytes": ({"gpu": "0"}, constant(4e9)),
    "slipway_gpu_memory_total_bytes": ({"gpu": "0"}, constant(8e9)),
    "slipway_gpu_utilization_ratio": ({"gpu": "0"}, constant(0.5)),
    "slipway_credential_expiry_timestamp_seconds": (
        {"kind": "certificate", "name": "SLIPWAY_TLS_CERTIFICATE"},
        before_end(-86_400),
    ),
    "slipway_watch_pass_timestamp_seconds": ({}, before_end(20)),
    "slipway_watch_pass_seconds": ({}, constant(2)),
    "slipway_prediction_log_rotation_seconds": ({}, constant(60)),
    "slipway_mlflow_webhook_deliveries_total": ({"outcome": ["accepted", "refused"]}, rising(0.01)),
}
USECASES: tuple[Labels, ...] = (
    {"usecase": "credit_risk", "namespace": "production"},
    {"usecase": "digits"},
)
_ALERT = {"alertstate": "firing", "severity": "warning", "owner": "credit-risk@example.com"}


def exposition() -> str:
    """Return all samples as OpenMetrics, which promtool makes into blocks of a Prometheus."""
    lines = [line for name, labels, value, since in _series() for line in _samples(name, labels, value, since)]
    return "\n".join([*lines, "# EOF", ""])


def _series() -> Iterator[tuple[str, Labels, Value, int]]:
    """Yield each metric with its labels, its values, and the second of the hour in which it begins."""
    for name, (labels, value) in OF_USECASES.items():
        for usecase in USECASES:
            yield name, {**usecase, **labels}, value, 0
    for name, (labels, value) in OF_PROCESSES.items():
        yield name, {"namespace": "production", **labels}, value, 0
    for usecase in USECASES:
        served = {**usecase, "role": "champion", "source": "registry", "device": "cpu"}
        yield "slipway_model_info", {**served, "version": "1"}, lambda second: float(second < HOUR // 2), 0
        yield "slipway_model_info", {**served, "version": "2"}, lambda second: float(second >= HOUR // 2), 0
        yield "ALERTS", {**_ALERT, **usecase, "alertname": "SlipwayDrift"}, constant(1), HOUR // 2
    yield "ALERTS", {**_ALERT, "alertname": "SlipwayWatchdog"}, constant(1), 0
    yield (
        "slipway_swaps_total",
        {"usecase": "credit_risk", "namespace": "production", "outcome": "refused"},
        constant(1),
        HOUR // 2,
    )
    yield "slipway_requests_total", {"usecase": "", "route": "predict", "code": "404"}, rising(1), 0  # to no model


def _samples(name: str, labels: Labels, value: Value, since: int) -> Iterator[str]:
    values = [[one] if isinstance(one, str) else one for one in labels.values()]
    for chosen in itertools.product(*values):
        shown = ",".join(f'{key}="{one}"' for key, one in zip(labels, chosen, strict=True))
        for second in range(since, HOUR + 1, STEP):
            yield f"{name}{{{shown}}} {value(second)} {END - HOUR + second}"
