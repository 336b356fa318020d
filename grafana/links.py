"""Links from panels and table cells: to other dashboards, runbooks, the MLflow version and Kibana."""

from __future__ import annotations

from urllib.parse import quote

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

FLEET, MODEL, PIPELINES = "slipway-fleet", "slipway-model", "slipway-pipelines"
PREDICTION_LOG, RESOURCES = "slipway-prediction-log", "slipway-resources"
TAG = "slipway"
_CONTEXT = "${__url_time_range}&${namespace:queryparam}"
# Rison, the notation of Kibana's addresses; the data view is Kibana's default one
_KIBANA = (
    "${{kibana}}/app/discover#/?_g=(time:(from:'${{__from:date:iso}}',to:'${{__to:date:iso}}'))"
    "&_a=(query:(language:kuery,query:'{query}'))"
)


def dashboard(uid: str) -> str:
    """Return the address of a dashboard, with this one's time, environment and use cases."""
    return f"/d/{uid}?{_CONTEXT}&${{usecase:queryparam}}"


def model(usecase: str) -> str:
    """Return the address of a use case's Model dashboard; `usecase` is what Grafana replaces with its name."""
    return f"/d/{MODEL}?{_CONTEXT}&var-usecase={usecase}"


def runbook(alert: str) -> str:
    return f"${{runbooks}}/{alert}.md"


def mlflow_version(usecase: str, version: str) -> str:
    """Return the address of a version in MLflow, whose registered model is named after the use case."""
    return f"${{mlflow}}/#/models/{usecase}/versions/{version}"


def kibana(query: str) -> str:
    """Return the address of the prediction events that a Kibana query finds in this time; variables stay."""
    return _KIBANA.format(query=quote(query, safe='${}:."'))


def named(title: str, url: str) -> DashboardLink:
    """Return a link of a panel, a cell or a dashboard to one address."""
    return DashboardLink(title).type(DashboardLinkType.LINK).url(url).target_blank(not url.startswith("/d/"))


def between_dashboards() -> DashboardLink:
    """Return the links to all dashboards of Slipway, with the variables and the time of this one."""
    return DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG]).include_vars(True).keep_time(True)
