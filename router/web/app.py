"""The Flask application of the web process."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from router.http import Door
from router.settings import Settings
from router.sources import Source
from router.store.base import Store
from router.web.health import Health
from router.web.webhooks import Webhooks

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_HSTS = ("Strict-Transport-Security", "max-age=31536000")


def create_app(
    project_sources: Callable[[], Mapping[str, Source]],
    store: Store,
    settings: Settings,
    *,
    warnings: Callable[[], Sequence[str]] = tuple,
    door: Door | None = None,
) -> Flask:
    """The application. `project_sources` gives the sources that run now, `warnings` codes for `/readyz`, `door` is what
    fetches key sets. Opens no connection and starts no thread before the first request."""
    app = Flask("router.web", static_folder=None)
    app.url_map.merge_slashes = False
    app.json.compact = True  # type: ignore[attr-defined]  # Flask's default provider has it, its base class does not
    webhooks = Webhooks(project_sources, store, settings, door)
    health = Health(store, settings, warnings, lambda: webhooks.failed_at)
    app.extensions["router.health"] = health
    # a rule without methods takes all of them: which are answered is the source's business, OPTIONS included
    app.url_map.add(app.url_rule_class("/webhooks/<name>", endpoint="webhooks"))
    app.view_functions["webhooks"] = webhooks
    app.add_url_rule("/healthz", "healthz", health.alive)
    app.add_url_rule("/readyz", "readyz", health.ready)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(Exception, _broken)
    app.wsgi_app = _Headers(app.wsgi_app, tls=settings.url.startswith("https:"))  # type: ignore[method-assign]
    return app


def _refused(error: HTTPException) -> Response:
    """What Flask itself refuses: unknown paths, methods."""
    status = error.code or 400
    response = Response(json.dumps({"error": error.name.lower()}), status, content_type="application/json")
    if status == 405:
        response.headers["Allow"] = dict(error.get_headers()).get("Allow", "GET")
    return response


def _broken(_error: Exception) -> Response:
    """What nobody foresaw: never a 500, as some senders give up on one."""
    number = secrets.token_hex(4)
    log.exception("a request broke, error %s", number)
    body = json.dumps({"error": "try again", "id": number})
    return Response(body, 503, {"Retry-After": "60"}, content_type="application/json")


class _Headers:
    """Adds the security headers to every answer, also to those that no view made."""

    def __init__(self, app: WSGIApplication, *, tls: bool) -> None:
        self._app = app
        self._headers = (*SECURITY_HEADERS, _HSTS) if tls else SECURITY_HEADERS

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            given = {name.lower() for name, _ in headers}
            headers.extend(header for header in self._headers if header[0].lower() not in given)
            return start_response(status, headers, exc_info)

        return self._app(environ, start)
