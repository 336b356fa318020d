"""Users of MLflow's login that Slipway makes: the services, each with the one role that it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

from slipway.errors import SettingsError
from slipway.system.files import read_regular

PROMOTER, TRAINER, READER = "promoter", "trainer", "reader"
_ROLES: Mapping[str, tuple[str, Mapping[str, str]]] = {  # what they may, of all resources of a type
    PROMOTER: ("May move champion and canary", {"registered_model": "MANAGE", "experiment": "EDIT"}),
    # a training deletes what an earlier try of it, which was killed, left half written
    TRAINER: (
        "May register versions and write runs",
        {"registered_model": "EDIT", "experiment": "EDIT", "run": "MANAGE"},
    ),
    READER: ("May only read", {"registered_model": "READ", "experiment": "READ"}),
}
SERVICES: Mapping[str, str] = {"serving": READER, "watch": PROMOTER, "flow-run": TRAINER}
"""Roles of the services: followers load bundles, the reconciler moves aliases, trainings register versions."""
_MOST_BYTES = 1024


def ensure_roles(store: Any) -> None:
    """Make the roles and their grants, where they are missing; an administrator gives them to people."""
    for name, (description, grants) in _ROLES.items():
        with _unless_made():
            store.create_role(name, DEFAULT_WORKSPACE_NAME, description)
        role = store.get_role_by_name(DEFAULT_WORKSPACE_NAME, name)
        for resource, permission in grants.items():
            with _unless_made():
                store.add_role_permission(role.id, resource, "*", permission)


def ensure_user(store: Any, name: str, password: str, role: str | None = None) -> None:
    """Make the user, or set its password if it is another one, and give it the role.

    Raises:
        SettingsError: MLflow does not take the password, or it would not be the one that clients send.
    """
    if password != password.strip():
        raise SettingsError(
            f"the password of MLflow's user {name} begins or ends with a space or a line break: remove that "
            "(`tr -d '\\n'`), since clients and people would not agree whether to send it."
        )
    try:
        if not store.has_user(name):
            with _unless_made():
                store.create_user(name, password)
        if not store.authenticate_user(name, password):
            store.update_user(name, password)
    except MlflowException as error:
        raise SettingsError(f"the password of MLflow's user {name} is not accepted: {error.message}") from None
    if role:
        with _unless_made():
            found = store.get_role_by_name(DEFAULT_WORKSPACE_NAME, role)
            store.assign_role_to_user(store.get_user(name).id, found.id)


def read_passwords(folder: Path) -> dict[str, str]:
    """Read the services' passwords, a file each; names that begin with a dot are Kubernetes' own.

    Raises:
        SettingsError: a file is of no service, or cannot be read.
    """
    try:
        files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        unknown = [path.name for path in files if path.name not in SERVICES]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is no service; services are {', '.join(SERVICES)}")
        return {path.name: read_regular(path, _MOST_BYTES).decode() for path in files}
    except (OSError, ValueError) as error:
        raise SettingsError(f"SLIPWAY_MLFLOW_USERS={folder} is no folder of services' passwords: {error}.") from None


def may_promote(store: Any, user: str) -> bool:
    """Tell whether the user is an administrator, or has the role `promoter`."""
    return bool(store.get_user(user).is_admin) or _has_role(store, user, PROMOTER)


def may_only_read(store: Any, user: str) -> bool:
    """Tell whether the user has the role `reader`: without it, MLflow lets every user make models and experiments."""
    return _has_role(store, user, READER)


def _has_role(store: Any, user: str, name: str) -> bool:
    return any(role.name == name for role in store.list_user_roles(store.get_user(user).id))


@contextmanager
def _unless_made() -> Iterator[None]:
    """Let an earlier start, or another replica at the same time, have made it."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
