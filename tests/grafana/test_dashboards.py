"""Dashboards: up to date, complete in every panel, with links that lead somewhere, and metrics that are exported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana import links, thresholds
from grafana.__main__ import FOLDER, main, texts, usecases_in
from grafana.addresses import Addresses
from grafana.interpolation import DASHBOARDS, FILES, panels, queries, variables
from tests.grafana import type_check

ROOT = Path(__file__).resolve().parents[2]
METRIC = re.compile(r"(?<![\w:])(?:slipway_\w+|\w+:slipway_\w+:\w+|ALERTS)(?=[{\s\[),|\"]|$)")
# Why a metric that is exported is on no panel
NOT_SHOWN = {
    "slipway_rollout_rolled_back_timestamp_seconds": "the alert's; the annotation counts rollbacks instead",
    "slipway_rollout_stage_since_timestamp_seconds": "the alert's; the stage itself is on a panel",
    "slipway_requests_slow_total": "rules record its share, which is on a panel",
    "slipway_objective_window_days": "chooses the window in which rules record the budgets",
    "slipway_versions_deleted_total": "an event, not a state: the alert says which, `slipway history` says who",
}
# Panels without a bound, by the reason
UNBOUNDED = {
    "an amount, of which none is bad in itself": {
        "CPU",
        "Duration",
        "GPU utilization",
        "Input warnings",
        "Models",
        "Predictions by label",
        "Requests",
        "Requests by role",
        "Requests in flight",
        "Rows",
        "Rows in a batch",
        "Rows predicted and events shipped",
        "Scores",
        "Webhook deliveries of MLflow",
    },
    "versions, outcomes and decisions, by name": {
        "Champion",
        "Gates by verdict",
        "Retraining decisions in a day",
        "Rollout",
        "Runs in a day",
        "Share of versions",
    },
    "its significance decides": {"Size of the drift"},
    "every row is bad": {"Firing alerts"},
    "a figure beside it has thresholds": {"Events lost", "Segments shipped"},
    "its alert has the bound": {"Documents refused and sent again"},
}
EVERY = [
    pytest.param(dashboard, panel, id=f"{dashboard}-{panel['title']}")
    for dashboard in DASHBOARDS
    for panel in panels(dashboard)
]


def documented() -> set[str]:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    return set(re.findall(r"^\| `(slipway_\w+)` \|", page, re.MULTILINE))


def recorded() -> set[str]:
    """Return the series that rules record."""
    rules = [path.read_text() for path in (ROOT / "monitoring" / "prometheus" / "rules").glob("*.yml")]
    return {name for text in rules for name in re.findall(r"record: (\S+)", text)}


def used() -> set[str]:
    """Return the metrics that panels, annotations and variables ask for, histograms by their name."""
    expressions = [query.expression for query in queries()]
    expressions += [
        str(variable.get("query")) for dashboard in DASHBOARDS for variable in variables(dashboard).values()
    ]
    found = {name for expression in expressions for name in METRIC.findall(expression)}
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in found}


def addresses_of(part: Any) -> list[str]:
    """List the addresses of all links in a part of a dashboard."""
    if isinstance(part, dict):
        own = [part["url"]] if isinstance(part.get("url"), str) else []
        return own + [url for value in part.values() for url in addresses_of(value)]
    return [url for one in part for url in addresses_of(one)] if isinstance(part, list) else []


def test_the_committed_dashboards_are_those_of_the_code():
    committed = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert committed == texts(Addresses(), usecases_in(FOLDER)), "run `make -C grafana`"


def test_uids_are_those_that_bookmarks_and_links_name():
    uids = ["slipway-fleet", "slipway-model", "slipway-pipelines", "slipway-prediction-log", "slipway-resources"]
    assert [DASHBOARDS[path.stem]["uid"] for path in FILES] == uids


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_panels_have_ids_and_places_of_their_own(dashboard):
    every = DASHBOARDS[dashboard]["panels"]
    assert len({panel["id"] for panel in every} - {0}) == len(every)
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in every)
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_a_dashboard_has_few_panels_and_says_what_it_answers(dashboard):
    assert DASHBOARDS[dashboard]["description"].endswith("?")
    assert len(panels(dashboard)) <= 20


@pytest.mark.parametrize(("dashboard", "panel"), EVERY)
def test_a_panel_has_a_title_a_description_and_a_unit(dashboard, panel):
    assert panel["title"] and panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize(("dashboard", "panel"), EVERY)
def test_colors_are_names_that_each_theme_draws_in_its_own_way(dashboard, panel):
    text = json.dumps(panel)
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgba?\(", text)
    assert {*re.findall(r'"(?:color|fixedColor)": "([^"]+)"', text)} <= {"green", "yellow", "red", "text"}


def is_bounded(panel: dict[str, Any]) -> bool:
    """Tell whether a panel shows what is bad: by thresholds, by words with a color, or by a line of the bound."""
    defaults, overrides = panel["fieldConfig"]["defaults"], json.dumps(panel["fieldConfig"]["overrides"])
    steps = defaults.get("thresholds", {}).get("steps", [])
    bounds = ("mappings", "thresholds", "custom.lineStyle")
    return len(steps) > 1 or "mappings" in defaults or any(f'"id": "{bound}"' in overrides for bound in bounds)


def test_a_panel_shows_what_is_bad_or_there_is_a_reason():
    unbounded = {case.values[1]["title"] for case in EVERY if not is_bounded(case.values[1])}
    assert unbounded == {title for titles in UNBOUNDED.values() for title in titles}


def test_words_and_thresholds_of_a_figure_have_a_color():
    for panel in (case.values[1] for case in EVERY if case.values[1]["type"] == "stat"):
        assert panel["options"]["colorMode"] == ("value" if is_bounded(panel) else "none"), panel["title"]


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_links_lead_to_dashboards_runbooks_and_declared_addresses(dashboard):
    runbooks = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    for url in addresses_of(DASHBOARDS[dashboard]):
        target = re.match(r"/d/([\w-]+)\?|\$\{(kibana|mlflow|status|runbooks)\}", url)
        assert target, url
        assert target[1] is None or target[1] in DASHBOARDS, url
        if number := re.search(r"&viewPanel=(\d+)$", url):
            assert int(number[1]) in {panel["id"] for panel in panels(target[1])}, url
        assert target[2] is None or target[2] in variables(dashboard), url
        if found := re.fullmatch(r"\$\{runbooks\}/(\w+)\.md", url):
            assert found[1] in runbooks, url


def test_links_lead_to_kibana_by_trace_and_to_the_version_in_mlflow():
    every = {dashboard: addresses_of(found) for dashboard, found in DASHBOARDS.items()}
    [trace] = [url for url in every["slipway-prediction-log"] if 'trace.id%20:%20"${trace}"' in url]
    assert "dataViewId:'slipway-all'" in trace
    assert "${mlflow}/#/models/${__data.fields.usecase}/versions/${__value.raw}" in every["slipway-fleet"]
    assert any(url.startswith("/d/slipway-model?") for url in every["slipway-fleet"])


def test_links_to_kibana_name_its_data_views_and_dashboards():
    objects = [json.loads(line) for line in (ROOT / "elk" / "kibana" / "objects.ndjson").read_text().splitlines()]
    known = {each["id"] for each in objects}
    urls = [url for found in DASHBOARDS.values() for url in addresses_of(found) if url.startswith("${kibana}")]
    named = [re.search(r"dataViewId:'([\w-]+)'|#/view/([\w-]+)\?", url) for url in urls]
    assert all(named)
    assert {found[1] or found[2] for found in named} <= known


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_every_variable_that_a_dashboard_uses_is_declared(dashboard):
    text = json.dumps(DASHBOARDS[dashboard])
    names = {one or other for one, other in re.findall(r"\$\{(\w+)(?::\w+)*\}|\$(\w+)", text)}
    assert {name for name in names if not name.startswith("__")} <= variables(dashboard).keys()


def test_every_metric_on_a_panel_is_exported_or_recorded():
    assert used() - documented() - recorded() - {"ALERTS"} == set()


def test_every_exported_metric_is_on_a_panel_or_has_a_reason():
    assert documented() - used() <= NOT_SHOWN.keys()
    assert NOT_SHOWN.keys() & used() == set()


def test_thresholds_of_panels_are_those_of_the_rules():
    rules = yaml.safe_load(thresholds.RULES.read_text())["groups"][0]["rules"]
    read = thresholds.of_rules(thresholds.RULES.read_text())
    assert [f"global:slipway_{name}:threshold" for name in read] == [rule["record"] for rule in rules]
    credentials = [step.value for step in thresholds.CREDENTIAL_EXPIRES]
    assert credentials == [None, read["credential_critical_seconds"], read["credential_seconds"]]
    assert credentials == [None, 2 * 86400, 14 * 86400]
    lag = next(panel for panel in panels("slipway-prediction-log") if panel["title"] == "Lag of the shipper")
    assert lag["targets"][1]["expr"].startswith(f"{read['prediction_log_segments']:g} * ")


def test_a_deployment_names_its_own_addresses(tmp_path):
    main(
        ["--out", str(tmp_path / "new"), "--kibana=https://kibana.example.org/", "--runbooks=https://wiki.example.org"]
    )
    written = [json.loads(path.read_text()) for path in sorted((tmp_path / "new").iterdir())]
    assert len(written) == len(DASHBOARDS)
    for dashboard in written:
        constants = {one["name"]: one["query"] for one in dashboard["templating"]["list"] if one["type"] == "constant"}
        assert constants["kibana"] == "https://kibana.example.org"
        assert constants["runbooks"] == "https://wiki.example.org"
        assert constants["mlflow"] == Addresses().mlflow


def test_a_use_case_gets_a_dashboard_of_its_own_which_is_written_anew_from_then_on(tmp_path):
    main(["--out", str(tmp_path), "--usecase", "credit_risk"])
    path = tmp_path / "slipway-model-credit_risk.json"
    own = json.loads(path.read_text())
    assert (own["uid"], own["title"]) == (path.stem, "Slipway: credit_risk")
    chosen = next(variable for variable in own["templating"]["list"] if variable["name"] == "usecase")
    assert (chosen["type"], chosen["query"], chosen["hide"]) == ("constant", "credit_risk", 2)
    assert own["panels"] == DASHBOARDS["slipway-model"]["panels"]
    path.write_text(path.read_text().replace("Is this model well?", "stale"))
    main(["--out", str(tmp_path)])
    assert json.loads(path.read_text()) == own
    assert len(list(tmp_path.iterdir())) == len(DASHBOARDS) + 1


@pytest.mark.parametrize("name", ["a" * 26, "a" * 27, "a" * 63])
def test_a_uid_of_a_use_case_is_one_for_grafana(name):
    uids = {links.model_uid(one) for one in (name, name[:-1] + "c")}
    assert len(uids) == 2 and all(re.fullmatch(r"slipway-model-[a-z0-9_-]{1,26}", uid) for uid in uids)


@pytest.mark.parametrize("name", ["", "Credit Risk", "../fleet", "1st"])
def test_what_is_no_name_of_a_use_case_is_refused(name, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / "new"), "--usecase", name])
    assert "no name of a use case" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_types_are_checked_of_every_kind_of_panel():
    types = (ROOT / "grafana" / "types" / "dashboard.ts").read_text()
    kinds = {panel["type"] for dashboard in DASHBOARDS for panel in panels(dashboard)}
    assert kinds == set(re.findall(r'^  "([\w-]+)": \{ options', types, re.MULTILINE))
    declared = "\n".join(type_check.declarations())
    assert declared.count("export const panel") == len(EVERY)
    assert all(text in declared for text in type_check.MISTAKES)


@pytest.mark.parametrize("path", sorted((ROOT / "grafana" / "provisioning").rglob("*.yml")), ids=lambda path: path.name)
def test_provisioning_files_name_what_the_dashboards_use(path: Path):
    document = yaml.safe_load(path.read_text())
    assert document["apiVersion"] == 1
    for source in document.get("datasources", []):
        assert (source["type"], source["uid"]) == ("prometheus", "slipway-prometheus")
    for provider in document.get("providers", []):
        assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)
