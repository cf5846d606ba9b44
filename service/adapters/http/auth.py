"""Who calls: API keys, compared by hash and in constant time. Open routes say so."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import TypeVar

from flask import Flask, g, request
from werkzeug.exceptions import Unauthorized

from service.domain.errors import ScopeNotAllowed
from service.domain.policy import Permission

_View = TypeVar("_View", bound=Callable[..., object])


def no_auth(view: _View) -> _View:
    """Mark a view as open to whoever reaches its surface. Without this a route needs a key."""
    view.no_auth = True  # type: ignore[attr-defined]  # functions carry attributes; mypy can't say so
    return view


def requires(permission: Permission) -> Callable[[_View], _View]:
    """Mark a view with what a client's keys must be allowed to do."""

    def mark(view: _View) -> _View:
        view.permission = permission  # type: ignore[attr-defined]  # as above
        return view

    return mark


def permission_of(view: Callable[..., object]) -> Permission | None:
    """Get what a view is marked with, if it is."""
    return getattr(view, "permission", None)


class ApiKeys:
    """The keys of all clients, known by their SHA-256 alone, and what each client may do."""

    def __init__(
        self,
        client_by_sha256: Mapping[str, str],
        permissions: Mapping[str, frozenset[Permission]],
    ) -> None:
        self.permissions = permissions
        self._clients = [(digest.encode(), client) for digest, client in client_by_sha256.items()]

    def client_of(self, key: str) -> str | None:
        """The key's client. Every known hash is compared, so the time tells nothing."""
        if not self._clients:
            return None
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest().encode()
        found = None
        for known, client in self._clients:
            if hmac.compare_digest(known, digest):
                found = client
        return found


def require_client(app: Flask, keys: ApiKeys) -> None:
    """Find out who asks, and refuse who has no key for the view, unless it is marked with ``no_auth``.

    Raises:
        Unauthorized, ScopeNotAllowed
    """
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    client = keys.client_of(key.strip()) if scheme.lower() == "bearer" and key else None
    g.client = client or ""
    # A path that nothing answers is 404 to everybody.
    view = app.view_functions[request.endpoint] if request.endpoint else None
    if view is None or getattr(view, "no_auth", False):
        return
    if client is None:
        raise Unauthorized
    # A view that names no permission is open to no key: the structure tests find it.
    if permission_of(view) not in keys.permissions.get(client, frozenset()):
        raise ScopeNotAllowed
