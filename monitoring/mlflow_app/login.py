"""Login of MLflow: its own basic-auth app, with the roles and users that Slipway needs."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import mlflow.server
from flask import Flask

from monitoring.mlflow_app.users import SERVICES, TRAINER, ensure_roles, ensure_user, read_passwords
from slipway.errors import SettingsError
from slipway.settings import Settings
from slipway.system.files import create_once, write_text

_ADMIN, _PASSWORD = "MLFLOW_AUTH_ADMIN_USERNAME", "MLFLOW_AUTH_ADMIN_PASSWORD"
_CLIENT, _CLIENT_PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
_OWN = "slipway-mlflow"  # of this server's own requests, which read what a change is about and write the audit
# The cache: MLflow would hash the password anew for each request. A change through this server takes effect at once.
_CONFIG = """[mlflow]
default_permission = READ
database_uri = {database}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""
_DATABASE_SERVERS = ("postgresql", "mysql", "mssql")


def with_login(app: Flask, config: Settings, environment: MutableMapping[str, str] = os.environ) -> Any:
    """Put MLflow's login before its routes, and make the roles and users as they are configured.

    Raises:
        SettingsError: there is no password for the administrator, or one is not accepted.
    """
    prepare(config, environment)
    services = read_passwords(config.mlflow_users) if config.mlflow_users else {}
    from mlflow.server import auth  # reads the variables when it is imported

    wrapped = auth.create_app(app)
    ensure_roles(auth.store)
    ensure_user(auth.store, environment.get(_ADMIN) or "admin", environment[_PASSWORD])
    ensure_user(auth.store, _OWN, environment[_CLIENT_PASSWORD], TRAINER)
    for name, password in services.items():
        ensure_user(auth.store, name, password, SERVICES[name])
    return wrapped


def prepare(config: Settings, environment: MutableMapping[str, str]) -> None:
    """Set the variables that MLflow's app needs, where they are not set: where its users are kept, and a key for forms.

    This server's own requests have a login, too; its password is the same in all replicas.
    """
    if not environment.get(_PASSWORD):
        raise SettingsError(f"SLIPWAY_MLFLOW_LOGIN=true needs a password for the administrator: set {_PASSWORD}, too.")
    folder = (config.var / "mlflow").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if "MLFLOW_AUTH_CONFIG_PATH" not in environment:
        database = _database(folder, environment.get(mlflow.server.BACKEND_STORE_URI_ENV_VAR, ""))
        content = _CONFIG.format(database=database.replace("%", "%%"))  # else configparser takes it for its own
        write_text(folder / "login.ini", content, mode=0o600)
        environment["MLFLOW_AUTH_CONFIG_PATH"] = str(folder / "login.ini")
    if "MLFLOW_FLASK_SERVER_SECRET_KEY" not in environment:
        if not (folder / "forms.key").exists():
            create_once(folder / "forms.key", secrets.token_hex(32))
        environment["MLFLOW_FLASK_SERVER_SECRET_KEY"] = (folder / "forms.key").read_text()
    environment[_CLIENT] = _OWN
    environment[_CLIENT_PASSWORD] = hmac.digest(environment[_PASSWORD].encode(), _OWN.encode(), "sha256").hex()


def _database(folder: Path, tables: str) -> str:
    """Name the database of users and roles: that of MLflow's tables if it is a server, which outlasts the pod."""
    if tables.partition(":")[0].partition("+")[0] in _DATABASE_SERVERS:
        return tables
    file = folder / "login.db"
    file.touch()
    file.chmod(0o600)  # SQLite would leave the hashes of passwords to every user of the machine
    return f"sqlite:///{file}"
