"""Authentication and permissions: API keys are compared by hash and in constant time. Open routes are marked."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import TypeVar

from flask import Flask, g, request
from werkzeug.exceptions import Unauthorized

from waitcall.domain.errors import ScopeNotAllowed
from waitcall.domain.policy import Permission

_View = TypeVar("_View", bound=Callable[..., object])


def no_auth(view: _View) -> _View:
    """Mark a view as open: requests need no API key. All other views need one."""
    view.no_auth = True  # type: ignore[attr-defined]  # mypy knows no attributes of functions
    return view


def requires(permission: Permission) -> Callable[[_View], _View]:
    """Mark a view with the permission that a client's key needs."""

    def mark(view: _View) -> _View:
        view.permission = permission  # type: ignore[attr-defined]  # mypy knows no attributes of functions
        return view

    return mark


class ApiKeys:
    """API keys of all clients, by their SHA-256 only, and the permissions of each client."""

    def __init__(
        self,
        client_by_sha256: Mapping[str, str],
        permissions: Mapping[str, frozenset[Permission]],
    ) -> None:
        self.permissions = permissions
        self._clients = [(digest.encode(), client) for digest, client in client_by_sha256.items()]

    def client_of(self, key: str) -> str | None:
        """Return the client of a key; None if it is unknown. All hashes are compared, so that the time reveals nothing."""
        if not self._clients:
            return None
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest().encode()
        found = None
        for known, client in self._clients:
            if hmac.compare_digest(known, digest):
                found = client
        return found


def require_client(app: Flask, keys: ApiKeys) -> None:
    """Identify the client by its key, and refuse a request whose key does not permit the view.

    Views with ``no_auth`` are open.

    Raises:
        Unauthorized, ScopeNotAllowed
    """
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    client = keys.client_of(key.strip()) if scheme.lower() == "bearer" and key else None
    g.client = client or ""
    # A path without a view is answered 404, also without a key.
    view = app.view_functions[request.endpoint] if request.endpoint else None
    if view is None or getattr(view, "no_auth", False):
        return
    if client is None:
        raise Unauthorized
    # A view without a permission refuses every key. A structure test finds such views.
    if getattr(view, "permission", None) not in keys.permissions.get(client, frozenset()):
        raise ScopeNotAllowed
