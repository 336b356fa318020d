"""Kubernetes work pool of Prefect, and its base job template with the defaults of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound

from slipway.errors import SettingsError, suggestion

TYPE = "kubernetes"


def ensure_work_pool(name: str, template: dict[str, Any]) -> None:
    """Create the pool or update its template; a pause and limits that people set stay.

    Raises:
        SettingsError: the pool is of another type.
    """
    with get_client(sync_client=True) as client:
        try:
            found = client.read_work_pool(name)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=name, type=TYPE, base_job_template=template))
            return
        if found.type != TYPE:
            raise SettingsError(
                f"the work pool {name!r} is of type {found.type!r}, and flow runs as Jobs need {TYPE!r}: choose "
                f"another name with --pool, here and at the worker, or remove it: `prefect work-pool delete {name}`."
            )
        client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))


def allow_only(template: dict[str, Any], image: str) -> dict[str, Any]:
    """Return the template for runs of this image: it is the default, and Prefect's server refuses any other."""
    properties = template["variables"]["properties"]
    allowed = properties | {"image": properties.get("image", {}) | {"default": image, "enum": [image]}}
    return template | {"variables": template["variables"] | {"properties": allowed}}


def job_template(path: Path, variables: Path | None = None) -> dict[str, Any]:
    """Read the base job template in the YAML file `path`.

    `variables` is a folder, such as a mounted ConfigMap, with a YAML file per variable whose default differs here.

    Raises:
        SettingsError: a file is missing or no YAML, or the template has no such variable.
    """
    template = _yaml(path)
    if not isinstance(template, dict) or not {"variables", "job_configuration"} <= template.keys():
        raise SettingsError(f"{path} is no base job template: it needs `variables` and `job_configuration`.")
    properties = template["variables"]["properties"]
    for name, value in _values(variables).items():
        if name not in properties:
            hint = suggestion(name, properties) or f" It has {', '.join(properties)}."
            raise SettingsError(f"{variables}/{name}: the job template {path} has no variable {name!r}.{hint}")
        properties[name]["default"] = value
    return template


def _values(folder: Path | None) -> dict[str, Any]:
    if folder is None:
        return {}
    if not folder.is_dir():
        raise SettingsError(f"{folder} is no folder: --job-variables names one with a file per variable.")
    # names with a dot are those of Kubernetes, which replaces a mounted ConfigMap by them
    return {path.name: _yaml(path) for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML: {error}") from None
