"""Actors and roles of MLflow's login: who makes a request, and whether they may move `champion`."""

from __future__ import annotations

from typing import Any

PROMOTER = "promoter"


def may_promote(store: Any, user: str) -> bool:
    """Whether the user of MLflow's login is an administrator, or has the role `promoter`."""
    found = store.get_user(user)
    return bool(found.is_admin) or any(role.name == PROMOTER for role in store.list_user_roles(found.id))
