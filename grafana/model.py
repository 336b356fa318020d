"""Dashboard *Model*: whether one use case's model is well, and if not, why."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.common import BigValueColorMode

from elk.kibana import model as kibana_model
from grafana import links, thresholds, variables
from grafana.addresses import Addresses
from grafana.annotations import events
from grafana.base import base
from grafana.panels import (
    BOUND,
    DETECTED,
    GREEN,
    YELLOW,
    Panel,
    bound,
    graph,
    heat_map,
    name,
    right_axis,
    row,
    series,
    stat,
    states,
    timeline,
)
from grafana.queries import (
    ERROR_BUDGET,
    FAILED,
    FIRING,
    LATE,
    LATENCY_BUDGET,
    MISSED,
    REFUSED,
    REQUESTS,
    SCOPE,
    VERSIONS,
    WATCHDOG,
    buckets,
    now,
    over_time,
    quantile,
    rate,
    share,
)

_LATENCY = f'slipway_request_duration_seconds{{{SCOPE}, route="predict"}}'
_PREDICTIONS = f"slipway_predictions_total{{{VERSIONS}}}"
# Of the watched version, whichever versions are chosen
_QUALITY = f'slipway_quality{{{SCOPE}, metric="$metric"}}'
_INTERVAL = f'slipway_quality_interval{{{SCOPE}, metric="$metric"'
_BOUND = f'slipway_quality_bound{{{SCOPE}, metric="$metric"}}'
# 1 where the score misses its bound, 0 where it keeps it
_MISSED = f'max({MISSED}{{{SCOPE}, metric="$metric"}}) * 0 + 1 or max({_BOUND}) * 0'
_EVENTS = "slipway.usecase : ${usecase}"
_KIBANA_EVENTS = links.named("Predictions in Kibana", links.kibana(_EVENTS))
_KIBANA_FAILURES = links.named(
    "Failures in Kibana, with trace.id", links.kibana(f"{_EVENTS} and event.outcome : failure")
)
_VERSION_IN_MLFLOW = links.named("Version in MLflow", links.mlflow_version("${usecase}", "${__field.labels.version}"))
_FINDING = states({0: ("none", GREEN), 1: ("reported", YELLOW)})


def dashboard(addresses: Addresses, own: str = "") -> Dashboard:
    """Return the dashboard of the use case that is chosen at its top, or that of `own` alone."""
    uid = links.model_uid(own) if own else links.MODEL
    found = base(uid, f"Slipway: {own or 'Model'}", "Is this model well? If not, why?", addresses)
    usecase = variables.only_usecase(own) if own else variables.usecase()
    for variable in (variables.namespace(), usecase, variables.versions(), variables.metric()):
        found.with_variable(variable)
    found.link(links.named("This model in Kibana", links.kibana_dashboard(kibana_model.ID, _EVENTS)))
    for event in events():
        found.annotation(event)
    sections = {
        "Is it well?": _answer(),
        "Traffic, errors and latency": _service(),
        "Versions": _versions(),
        "Predictions and drift": _predictions(),
        "Quality": _quality(),
    }
    for title, panels in sections.items():
        found.with_row(row(title))
        for panel in panels:
            found.with_panel(panel)
    return found


def _answer() -> list[Panel]:
    """Return the answer: alerts that fire, then the ways in which a model can be unwell, and its version."""
    return [_is_it_well(), *_budgets(), _drift(), _score(), _champion()]


def _is_it_well() -> Panel:
    return stat(
        "Is it well?",
        "Alerts on this use case, and on what all share, that fire now. The rows below say why.",
        "suffix: alerts firing",
        now(f"count({FIRING}) or count({WATCHDOG}) * 0"),
        steps=thresholds.ANY,
        empty="no rules loaded",
        see=[links.named("Firing alerts", links.dashboard(links.FLEET))],
    ).mappings(states({0: ("yes", GREEN)}))


def _budgets() -> list[Panel]:
    return [
        stat(
            "Error budget left",
            "What the objective of availability leaves in its window: 100 % is untouched, below 0 is overdrawn.",
            "percentunit",
            now(f"min({ERROR_BUDGET})"),
            steps=thresholds.BUDGET_LEFT,
            see=[links.named("Errors", links.model_panel("timeseries", "Errors"))],
            runbook="SlipwayErrorBudgetBurn",
        ),
        stat(
            "Latency budget left",
            "What the objective of latency leaves of the responses that may be late in its window.",
            "percentunit",
            now(f"min({LATENCY_BUDGET})"),
            steps=thresholds.BUDGET_LEFT,
            see=[links.named("Late responses", links.model_panel("timeseries", "Late responses"))],
            runbook="SlipwayLatencyBudgetBurn",
        ),
    ]


def _drift() -> Panel:
    return stat(
        "Drift",
        "Whether the last verdict is drift.",
        "none",
        now(f"max(slipway_drift_detected{{{SCOPE}}})"),
        steps=thresholds.ANY,
        runbook="SlipwayDrift",
        see=[links.named("Drift by feature", links.model_panel("state-timeline", "Drift by feature"))],
        empty="no verdict",
    ).mappings(DETECTED)


def _score() -> Panel:
    found = stat(
        "Quality",
        "Live score of the watched version on labelled predictions, by the metric chosen above; it misses the bound of "
        "its gate where its whole interval does, as the alert says.",
        "short",
        now(f"max({_QUALITY})", "now"),
        now(_MISSED, "bound kept"),
        runbook="SlipwayQualityLow",
        see=[links.named("Quality over time", links.model_panel("timeseries", "Quality"))],
        empty="no labels",
    )
    return series(found.decimals(3).color_mode(BigValueColorMode.VALUE), "bound kept", mappings=BOUND)


def _champion() -> Panel:
    return name(
        "Champion",
        "Version that servers respond with; two while a swap reaches one server after the other.",
        now(f'max by (version) (slipway_model_info{{{SCOPE}, role="champion"}} == 1)', "{{version}}"),
        see=[links.named("Versions in MLflow", "${mlflow}/#/models/${usecase}")],
    ).data_links([_VERSION_IN_MLFLOW])


def _service() -> list[Panel]:
    """Return what clients notice."""
    return [_requests(), _errors(), _latency(), _late()]


def _requests() -> Panel:
    return graph(
        "Requests by role",
        "Requests that a model ran for, by its role: a shadow's are copies, which no client waits for.",
        "reqps",
        over_time(rate(f"slipway_model_seconds_count{{{VERSIONS}}}", "role"), "{{role}}"),
        over_time(rate(f"slipway_requests_shed_total{{{SCOPE}}}", "reason"), "shed: {{reason}}"),
        over_time(rate(f"slipway_shadow_shed_total{{{VERSIONS}}}"), "not copied to the shadow"),
        runbook="SlipwayNoTraffic",
        see=[_KIBANA_EVENTS, links.named("Resources and GPU", links.dashboard(links.RESOURCES))],
    )


def _errors() -> Panel:
    of_role = share(f"slipway_model_errors_total{{{VERSIONS}}}", f"slipway_model_seconds_count{{{VERSIONS}}}", "role")
    found = graph(
        "Errors",
        "Share of requests that failed (500 and above) and were refused (400 to 499), and of each role's requests for "
        "which the model failed. The dashed line is what the objective of availability allows.",
        "percentunit",
        over_time(share(FAILED, REQUESTS), "failed"),
        over_time(share(REFUSED, REQUESTS), "refused"),
        over_time(of_role, "model: {{role}}"),
        over_time(share(f"slipway_canary_fallbacks_total{{{VERSIONS}}}", REQUESTS), "champion in place of the canary"),
        over_time(f"1 - max(slipway_objective_availability_ratio{{{SCOPE}}})", "allowed"),
        runbook="SlipwayErrorBudgetBurn",
        see=[_KIBANA_FAILURES],
    )
    return bound(found, "allowed")


def _latency() -> Panel:
    found = graph(
        "Latency",
        "Time from a request's headers to its response, by percentile; the dashed line is the objective, which the "
        "percentile `latency_quantile` of usecase.yaml must keep. The model's own time is by version.",
        "s",
        *(over_time(quantile(part, _LATENCY), f"p{part * 100:g}") for part in (0.5, 0.9, 0.99)),
        over_time(quantile(0.99, f"slipway_model_seconds{{{VERSIONS}}}", "version"), "model {{version}}, p99"),
        over_time(f"max(slipway_objective_latency_seconds{{{SCOPE}}})", "objective"),
        runbook="SlipwayLatencyBudgetBurn",
    )
    return bound(found, "objective")


def _late() -> Panel:
    found = graph(
        "Late responses",
        "Share of the successful predictions of five minutes that were later than the objective, as rules record it; "
        "the dashed line is the share that it allows.",
        "percentunit",
        over_time(f"max({LATE})", "late"),
        over_time(f"1 - max(slipway_objective_latency_quantile{{{SCOPE}}})", "allowed"),
        runbook="SlipwayLatencyBudgetBurn",
    )
    return bound(found, "allowed")


def _versions() -> list[Panel]:
    """Return which version responds, and what a rollout does."""
    shares = graph(
        "Share of versions",
        "Share of the rows that each version predicted, by role. Marks are swaps, promotions, rollbacks, retrainings.",
        "percentunit",
        over_time(
            f"{rate(_PREDICTIONS, 'version, role')} / ignoring (version, role) group_left () {rate(_PREDICTIONS)}",
            "{{version}} ({{role}})",
        ),
        stacked=True,
        see=[
            links.named("Versions in MLflow", "${mlflow}/#/models/${usecase}"),
            links.named("Pipelines", links.dashboard(links.PIPELINES)),
        ],
    )
    rollout = graph(
        "Rollout",
        "Share of the requests that the canary answers, and the stage of its rollout, on the right.",
        "percent",
        over_time(f"max by (version) (slipway_rollout_weight_percent{{{SCOPE}}})", "weight of {{version}}"),
        over_time(f"max(slipway_rollout_stage{{{SCOPE}}})", "stage"),
        width=6,
        runbook="SlipwayCanaryRolledBack",
        empty="no rollout",
    ).max(100)
    findings = timeline(
        "Findings of followers",
        "What keeps a server from following the registry, by topic.",
        _FINDING,
        over_time(f"max by (topic) (slipway_follower_finding{{{SCOPE}}})", "{{topic}}"),
        width=6,
        runbook="SlipwayRegistryUnreachable",
    )
    shares.max(1).data_links([_VERSION_IN_MLFLOW])
    return [shares, right_axis(rollout, "stage", "none"), findings]


def _predictions() -> list[Panel]:
    """Return what the model says, and how its inputs differ from the data on which it was evaluated."""
    return [_labels(), _scores(), _warnings(), *_drifts()]


def _labels() -> Panel:
    return graph(
        "Predictions by label",
        "Rows predicted, by label; of the versions chosen above.",
        "cps",
        over_time(rate(_PREDICTIONS, "label"), "{{label}}"),
        stacked=True,
        width=8,
        see=[_KIBANA_EVENTS],
    )


def _scores() -> Panel:
    return heat_map(
        "Scores",
        "Rows predicted, by their score: the probability of the positive class, or the largest one. The "
        "stronger the color, the more rows; of the versions chosen above.",
        "percentunit",
        buckets(f"slipway_prediction_score{{{VERSIONS}}}"),
        width=8,
        see=[_KIBANA_EVENTS],
        empty="a regression has no scores",
    )


def _warnings() -> Panel:
    return graph(
        "Input warnings",
        "Values that were predicted although they are unlike the training data: the ten features with most of them.",
        "cps",
        over_time(
            f"topk(10, {rate(f'slipway_input_warnings_total{{{SCOPE}}}', 'feature, reason')})",
            "{{feature}}: {{reason}}",
        ),
        width=8,
        runbook="SlipwayDrift",
    )


def _drifts() -> list[Panel]:
    drifted = timeline(
        "Drift by feature",
        "Features and predictions that the last verdict says have drifted.",
        DETECTED,
        over_time(f"max by (feature) (slipway_drift_feature_detected{{{SCOPE}}})", "{{feature}}"),
        height=10,
        runbook="SlipwayDrift",
        see=[links.named("Reports on the status page", "${status}")],
    )
    sizes = graph(
        "Size of the drift",
        "Size of each feature's change: normed Wasserstein distance by ks, population stability index by chi2. Its "
        "significance and `minimum_effect` of usecase.yaml decide, so there is no one bound.",
        "short",
        over_time(f"max by (feature, method) (slipway_drift_score{{{SCOPE}}})", "{{feature}} ({{method}})"),
        height=10,
        runbook="SlipwayDrift",
    )
    return [drifted, sizes]


def _quality() -> list[Panel]:
    """Return the live score with its interval, beside how many labels it stands on and how late they come."""
    quality = graph(
        "Quality",
        "Live score by the metric chosen above, with its interval; the dashed line is the gate's bound.",
        "short",
        over_time(f"max({_QUALITY})", "score"),
        over_time(f'max({_INTERVAL}, end="high"}})', "high"),
        over_time(f'min({_INTERVAL}, end="low"}})', "low"),
        over_time(f"max({_BOUND})", "bound"),
        runbook="SlipwayQualityLow",
    ).decimals(3)
    for end in ("high", "low"):
        series(quality, end, custom__lineWidth=0, custom__hideFrom={"legend": True, "tooltip": False, "viz": False})
    series(quality, "high", custom__fillBelowTo="low")
    labels = graph(
        "Labels",
        "Share of predictions that have a label, with the least that is expected; on the right, how many the last "
        "score uses and how late they come.",
        "percentunit",
        over_time(f"max(slipway_label_coverage_ratio{{{SCOPE}}})", "coverage"),
        over_time(f"max(slipway_labels{{{SCOPE}}})", "labelled rows"),
        over_time(f"max(slipway_label_delay_seconds{{{SCOPE}}})", "delay"),
        steps=thresholds.LABEL_COVERAGE,
        runbook="SlipwayLabelCoverageLow",
        see=[links.named("Prediction log", links.dashboard(links.PREDICTION_LOG))],
    )
    right_axis(labels, "labelled rows", "short")
    return [bound(quality, "bound"), right_axis(labels, "delay", "s")]
