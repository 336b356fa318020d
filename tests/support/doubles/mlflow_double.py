"""Double of MLflow's registry in memory: models, versions, aliases, tags, runs, artifacts.

`test_doubles.py` compares it with a real MLflow. After each write it remembers the state of the model, so that a
test sees every instant, not only the last.
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.support.doubles.http_double import Answer, HttpDouble, Refused

_API = "/api/2.0/mlflow/"
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass
class Model:
    aliases: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    last: int = 0


@dataclass
class State:
    models: dict[str, Model] = field(default_factory=dict)
    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    instants: list[dict[str, Model]] = field(default_factory=list)


class MlflowDouble(HttpDouble):
    """Double whose `state` can be read, and restored to a copy of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        if path == "/health":
            return b"OK"
        if path.startswith(_ARTIFACTS):
            return self._artifact(method, unquote(path.removeprefix(_ARTIFACTS).strip("/")), query, body)
        route, request = path.removeprefix(_API), query | (json.loads(body) if body else {})
        handler = _ROUTES.get((method, route))
        if handler is None:
            raise Refused(404, "ENDPOINT_NOT_FOUND", f"{method} {path}")
        answer = handler(self.state, request)
        if method != "GET" and route.startswith(("registered-models/", "model-versions/")):
            self.state.instants.append(copy.deepcopy(self.state.models))
        return answer

    def _artifact(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        if method == "PUT":
            self.state.artifacts[path] = body
            return {}
        if not path:
            return {"files": _listed(self.state, query.get("path", ""))}
        if path not in self.state.artifacts:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"no artifact {path}")
        return self.state.artifacts[path]


def _model(state: State, name: str) -> Model:
    if name not in state.models:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Registered Model with name={name} not found")
    return state.models[name]


def _version(state: State, name: str, version: str) -> dict[str, Any]:
    found = _model(state, name).versions.get(str(version))
    if found is None:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Model Version (name={name}, version={version}) not found")
    return found


def _model_response(name: str, model: Model) -> dict[str, Any]:
    aliases = [{"alias": alias, "version": version} for alias, version in sorted(model.aliases.items())]
    return {"name": name, "tags": _pairs(model.tags), "aliases": aliases}


def _version_response(name: str, found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "name": name, "tags": _pairs(found["tags"])}


def _pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def _named(tags: list[dict[str, str]] | None) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in tags or ()}


def _get_model(state: State, request: dict[str, Any]) -> Answer:
    return {"registered_model": _model_response(request["name"], _model(state, request["name"]))}


def _search_models(state: State, request: dict[str, Any]) -> Answer:
    return {"registered_models": [_model_response(name, model) for name, model in sorted(state.models.items())]}


def _create_model(state: State, request: dict[str, Any]) -> Answer:
    if request["name"] in state.models:
        raise Refused(400, "RESOURCE_ALREADY_EXISTS", f"Registered Model (name={request['name']}) already exists")
    state.models[request["name"]] = Model(tags=_named(request.get("tags")))
    return _get_model(state, request)


def _set_model_tag(state: State, request: dict[str, Any]) -> Answer:
    _model(state, request["name"]).tags[request["key"]] = request["value"]
    return {}


def _delete_model_tag(state: State, request: dict[str, Any]) -> Answer:
    _model(state, request["name"]).tags.pop(request["key"], None)
    return {}


def _set_alias(state: State, request: dict[str, Any]) -> Answer:
    _version(state, request["name"], request["version"])
    _model(state, request["name"]).aliases[request["alias"]] = str(request["version"])
    return {}


def _delete_alias(state: State, request: dict[str, Any]) -> Answer:
    _model(state, request["name"]).aliases.pop(request["alias"], None)
    return {}


def _create_version(state: State, request: dict[str, Any]) -> Answer:
    model = _model(state, request["name"])
    model.last += 1
    model.versions[str(model.last)] = {
        "version": str(model.last),
        "source": request["source"],
        "run_id": request.get("run_id", ""),
        "tags": _named(request.get("tags")),
        "creation_timestamp": int(time.time() * 1000),
        "status": "READY",
    }
    return _get_version(state, {**request, "version": model.last})


def _get_version(state: State, request: dict[str, Any]) -> Answer:
    found = _version(state, request["name"], request["version"])
    return {"model_version": _version_response(request["name"], found)}


def _delete_version(state: State, request: dict[str, Any]) -> Answer:
    _version(state, request["name"], request["version"])
    model = _model(state, request["name"])
    del model.versions[str(request["version"])]
    model.aliases = {alias: version for alias, version in model.aliases.items() if version != str(request["version"])}
    return {}


def _search_versions(state: State, request: dict[str, Any]) -> Answer:
    name = request["filter"].partition("name='")[2].rstrip("'")
    versions = state.models[name].versions.values() if name in state.models else ()
    return {"model_versions": [_version_response(name, found) for found in versions]}


def _download_uri(state: State, request: dict[str, Any]) -> Answer:
    return {"artifact_uri": _version(state, request["name"], request["version"])["source"]}


def _set_version_tag(state: State, request: dict[str, Any]) -> Answer:
    _version(state, request["name"], request["version"])["tags"][request["key"]] = request["value"]
    return {}


def _delete_version_tag(state: State, request: dict[str, Any]) -> Answer:
    _version(state, request["name"], request["version"])["tags"].pop(request["key"], None)
    return {}


def _get_experiment(state: State, request: dict[str, Any]) -> Answer:
    name = request["experiment_name"]
    if name not in state.experiments:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Could not find experiment with name '{name}'")
    return {"experiment": {"experiment_id": state.experiments[name], "name": name, "lifecycle_stage": "active"}}


def _create_experiment(state: State, request: dict[str, Any]) -> Answer:
    if request["name"] in state.experiments:
        raise Refused(400, "RESOURCE_ALREADY_EXISTS", f"Experiment '{request['name']}' already exists.")
    state.experiments[request["name"]] = str(len(state.experiments) + 1)
    return {"experiment_id": state.experiments[request["name"]]}


def _create_run(state: State, request: dict[str, Any]) -> Answer:
    run_id = f"{len(state.runs) + 1:032x}"
    experiment = str(request["experiment_id"])
    info = {
        "run_id": run_id,
        "run_uuid": run_id,
        "experiment_id": experiment,
        "status": "RUNNING",
        "lifecycle_stage": "active",
        "start_time": request.get("start_time", 0),
        "artifact_uri": f"mlflow-artifacts:/{experiment}/{run_id}/artifacts",
    }
    state.runs[run_id] = {"info": info, "data": {"tags": request.get("tags", [])}}
    return {"run": state.runs[run_id]}


def _run(state: State, request: dict[str, Any]) -> dict[str, Any]:
    run_id = request.get("run_id") or request["run_uuid"]
    if run_id not in state.runs:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Run with id={run_id} not found")
    return state.runs[run_id]


def _search_runs(state: State, request: dict[str, Any]) -> Answer:
    """Search runs by the only filter that Slipway uses: one tag that equals a value."""
    tag_filter = (request.get("filter") or "").partition(" = ")
    key, value = tag_filter[0].removeprefix("tags.").strip("`"), tag_filter[2].strip("'")
    found = [
        run
        for run in state.runs.values()
        if run["info"]["experiment_id"] in request["experiment_ids"]
        and run["info"]["lifecycle_stage"] == "active"
        and (not key or _named(run["data"]["tags"]).get(key) == value)
    ]
    return {"runs": found} if found else {}


def _update_run(state: State, request: dict[str, Any]) -> Answer:
    run = _run(state, request)
    run["info"] |= {key: request[key] for key in ("status", "end_time") if key in request}
    return {"run_info": run["info"]}


def _delete_run(state: State, request: dict[str, Any]) -> Answer:
    _run(state, request)["info"]["lifecycle_stage"] = "deleted"
    return {}


def _kept(state: State, request: dict[str, Any]) -> Answer:
    """Accept metrics, params and inputs, which nothing reads again."""
    _run(state, request)
    return {}


def _list_artifacts(state: State, request: dict[str, Any]) -> Answer:
    root = _run(state, request)["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    folder = f"{root}/{request.get('path', '')}".rstrip("/")
    return {"files": [{**file, "path": f"{request['path']}/{file['path']}"} for file in _listed(state, folder)]}


def _listed(state: State, folder: str) -> list[dict[str, Any]]:
    """List the direct entries of a folder; a folder has no size."""
    found: dict[str, dict[str, Any]] = {}
    for path, content in state.artifacts.items():
        if path.startswith(f"{folder}/"):
            name, deeper, _ = path.removeprefix(f"{folder}/").partition("/")
            size = {} if deeper else {"file_size": len(content)}
            found[name] = {"path": name, "is_dir": bool(deeper), **size}
    return [found[name] for name in sorted(found)]


_ROUTES = {
    ("GET", "registered-models/get"): _get_model,
    ("GET", "registered-models/search"): _search_models,
    ("POST", "registered-models/create"): _create_model,
    ("POST", "registered-models/set-tag"): _set_model_tag,
    ("DELETE", "registered-models/delete-tag"): _delete_model_tag,
    ("POST", "registered-models/alias"): _set_alias,
    ("DELETE", "registered-models/alias"): _delete_alias,
    ("POST", "model-versions/create"): _create_version,
    ("GET", "model-versions/get"): _get_version,
    ("DELETE", "model-versions/delete"): _delete_version,
    ("GET", "model-versions/search"): _search_versions,
    ("GET", "model-versions/get-download-uri"): _download_uri,
    ("POST", "model-versions/set-tag"): _set_version_tag,
    ("DELETE", "model-versions/delete-tag"): _delete_version_tag,
    ("GET", "experiments/get-by-name"): _get_experiment,
    ("POST", "experiments/create"): _create_experiment,
    ("POST", "runs/create"): _create_run,
    ("GET", "runs/get"): lambda state, request: {"run": _run(state, request)},
    ("POST", "runs/search"): _search_runs,
    ("POST", "runs/update"): _update_run,
    ("POST", "runs/delete"): _delete_run,
    ("POST", "runs/log-batch"): _kept,
    ("POST", "runs/log-inputs"): _kept,
    ("GET", "artifacts/list"): _list_artifacts,
}
