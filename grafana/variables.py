"""Variables of the dashboards: data source, environment, use case, version, and addresses as constants."""

from __future__ import annotations

from dataclasses import asdict

from grafana_foundation_sdk.builders.dashboard import (
    ConstantVariable,
    DatasourceVariable,
    QueryVariable,
    TextBoxVariable,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from grafana.addresses import Addresses
from grafana.queries import SCOPE

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${datasource}")
_ALL = VariableOption(text="All", value="$__all")
# The watch names every use case, a server those that it serves: either may be missing.
_USECASES = '{__name__=~"slipway_usecase_info|slipway_model_info", namespace=~"$namespace"}'


def source() -> DatasourceVariable:
    return DatasourceVariable("datasource").label("Data source").type("prometheus")


def namespace() -> QueryVariable:
    """Return the environments, by the label that Prometheus gives to what it scrapes on Kubernetes."""
    found = _all(_query("namespace", "label_values(slipway_model_info, namespace)"))
    return found.label("Environment").description("Kubernetes namespace; All where there is none.")


def usecases() -> QueryVariable:
    """Return several use cases or all: a request to none, which has an empty label, belongs to no model."""
    return _all(_query("usecase", f"label_values({_USECASES}, usecase)")).all_value(".+").label("Use case")


def usecase() -> QueryVariable:
    """Return one use case at a time: a new one is there as soon as it is scraped."""
    return _query("usecase", f"label_values({_USECASES}, usecase)").label("Use case").regex("/.+/")


def only_usecase(name: str) -> ConstantVariable:
    """Return the use case of a dashboard of its own: no link and no address chooses another."""
    return ConstantVariable("usecase").value(name)


def versions() -> QueryVariable:
    return _all(_query("version", f"label_values(slipway_predictions_total{{{SCOPE}}}, version)")).label("Version")


def metric() -> QueryVariable:
    """Return one metric of quality at a time, since their scales differ."""
    return _query("metric", f"label_values(slipway_quality{{{SCOPE}}}, metric)").label("Quality by")


def processes() -> QueryVariable:
    found = _query("process", 'label_values(slipway_process_cpu_seconds_total{namespace=~"$namespace"}, process)')
    return _all(found).label("Process")


def trace() -> TextBoxVariable:
    return TextBoxVariable("trace").label("Trace id").description("`trace_id` of an error, or of `traceparent`.")


def addresses(given: Addresses) -> list[ConstantVariable]:
    return [ConstantVariable(name).value(url) for name, url in asdict(given).items()]


def _query(name: str, query: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .datasource(PROMETHEUS)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.NATURAL_ASC)
    )


def _all(variable: QueryVariable) -> QueryVariable:
    """Return the variable with several values at once, and All as a regular expression that matches every series."""
    return variable.multi(True).include_all(True).all_value(".*").current(_ALL)
