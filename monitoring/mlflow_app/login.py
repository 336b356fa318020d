"""Login of MLflow: its own basic-auth app, whose users and roles are kept under `mlflow/` in the state folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import MutableMapping
from typing import Any

from flask import Flask
from mlflow.exceptions import MlflowException
from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

from slipway.errors import SettingsError
from slipway.settings import Settings
from slipway.system.files import create_once, write_text

PROMOTER = "promoter"
_ADMIN, _PASSWORD = "MLFLOW_AUTH_ADMIN_USERNAME", "MLFLOW_AUTH_ADMIN_PASSWORD"
_CONFIG = """[mlflow]
default_permission = READ
database_uri = sqlite:///{database}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


def with_login(app: Flask, config: Settings, environment: MutableMapping[str, str] = os.environ) -> Any:
    """Put MLflow's login before its routes, and make the role `promoter`, once.

    Raises:
        SettingsError: there is no password for the administrator.
    """
    prepare(config, environment)
    from mlflow.server import auth  # reads the variables when it is imported

    wrapped = auth.create_app(app)
    ensure_promoter(auth.store)
    return wrapped


def prepare(config: Settings, environment: MutableMapping[str, str]) -> None:
    """Set the variables that MLflow's app needs, where they are not set: where its users are kept, and a key for forms.

    This server's own requests are the administrator's.
    """
    if not environment.get(_PASSWORD):
        raise SettingsError(f"SLIPWAY_MLFLOW_LOGIN=true needs a password for the administrator: set {_PASSWORD}, too.")
    folder = (config.var / "mlflow").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if "MLFLOW_AUTH_CONFIG_PATH" not in environment:
        write_text(folder / "login.ini", _CONFIG.format(database=folder / "login.db"))
        environment["MLFLOW_AUTH_CONFIG_PATH"] = str(folder / "login.ini")
    if "MLFLOW_FLASK_SERVER_SECRET_KEY" not in environment:
        if not (folder / "forms.key").exists():
            create_once(folder / "forms.key", secrets.token_hex(32))
        environment["MLFLOW_FLASK_SERVER_SECRET_KEY"] = (folder / "forms.key").read_text()
    environment["MLFLOW_TRACKING_USERNAME"] = environment.get(_ADMIN) or "admin"
    environment["MLFLOW_TRACKING_PASSWORD"] = environment[_PASSWORD]


def ensure_promoter(store: Any) -> None:
    """Make the role, which may change every model; an administrator gives it to people and services."""
    try:
        role = store.create_role(PROMOTER, DEFAULT_WORKSPACE_NAME, "May move champion and canary")
        store.add_role_permission(role.id, "registered_model", "*", "MANAGE")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def may_promote(store: Any, user: str) -> bool:
    """Whether the user is an administrator, or has the role `promoter`."""
    found = store.get_user(user)
    return bool(found.is_admin) or any(role.name == PROMOTER for role in store.list_user_roles(found.id))
