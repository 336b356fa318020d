"""Users of MLflow's login in the cluster: the services', the administrator, and a person with the role `promoter`."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from slipway.clients import http
from slipway.errors import ServiceError

ADMINISTRATOR, PROMOTER, TRAINING = "admin", "ann", "flow-run"
_USER, _PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"


class MlflowUsers:
    """Users with their passwords; those of the services are the keys of the Secret `slipway-mlflow`."""

    def __init__(self) -> None:
        names = (ADMINISTRATOR, "serving", "watch", TRAINING)
        self.secret = {name: secrets.token_urlsafe(24) for name in names}
        self._passwords = {**self.secret, PROMOTER: secrets.token_urlsafe(24)}

    def add_promoter(self, url: str) -> None:
        """Make a person who may move `champion`, as an administrator does in MLflow's pages.

        Raises:
            ServiceError: MLflow refuses it.
        """
        self._ask("POST", f"{url}/api/2.0/mlflow/users/create", username=PROMOTER, password=self._passwords[PROMOTER])
        roles = self._ask("GET", f"{url}/api/3.0/mlflow/roles/list")["roles"]
        (role,) = [role["id"] for role in roles if role["name"] == "promoter"]
        self._ask("POST", f"{url}/api/3.0/mlflow/roles/assign", username=PROMOTER, role_id=role)

    @contextmanager
    def logged_in(self, user: str | None) -> Iterator[None]:
        """Lend this process the user's login for the length of a block; None: it has no login."""
        given = {_USER: user, _PASSWORD: self._passwords[user]} if user else {}
        before = {name: os.environ.pop(name, None) for name in (_USER, _PASSWORD)}
        os.environ.update(given)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value

    def _ask(self, method: str, url: str, **document: Any) -> Mapping[str, Any]:
        pair = f"{ADMINISTRATOR}:{self._passwords[ADMINISTRATOR]}"
        headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        response = http.request(method, url, document=document or None, headers=headers)
        if response.status != 200:
            raise ServiceError(f"{url} answered {response.status}: {response.content[:300].decode(errors='replace')}")
        return response.read(dict)
