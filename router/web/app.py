"""The Flask application of the web process."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from http.client import responses
from typing import TYPE_CHECKING, Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from router.http import Door
from router.settings import Settings
from router.sources import Source
from router.store.base import Store
from router.web.body import GATHERED
from router.web.health import Health
from router.web.webhooks import Webhooks

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

#: what is behind it is the name of a source
WEBHOOKS = "/webhooks/"

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
    revisions: Callable[[], Mapping[str, str]] = dict,
    removed: Callable[[], Collection[str]] = frozenset,
    door: Door | None = None,
) -> Flask:
    """The application. `project_sources` gives the sources that run now, `warnings` codes for `/readyz`, `revisions`
    which rules run and which were refused, `removed` the sources that are gone for good, `door` is what fetches key
    sets. Opens no connection and starts no thread before the first request."""
    app = Flask("router.web", static_folder=None)
    app.url_map.merge_slashes = False
    app.json.compact = True  # type: ignore[attr-defined]  # Flask's default provider has it, its base class does not
    webhooks = Webhooks(project_sources, store, settings, removed=removed, door=door)
    health = Health(store, settings, warnings, revisions, lambda: webhooks.failed_at)
    app.extensions["router.health"] = health
    app.add_url_rule("/healthz", "healthz", health.alive)
    app.add_url_rule("/readyz", "readyz", health.ready)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(Exception, _broken)
    app.wsgi_app = _Front(app.wsgi_app, webhooks, tls=settings.url.startswith("https:"))  # type: ignore[method-assign]
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


class _Front:
    """What stands before Flask: webhooks go past its routing and contexts, which would be half of their cost, and every
    answer gets the security headers, also one that no view made."""

    def __init__(self, app: WSGIApplication, webhooks: Webhooks, *, tls: bool) -> None:
        self._app = app
        self._webhooks = webhooks
        self._headers = {name.lower(): (name, value) for name, value in (*SECURITY_HEADERS, *([_HSTS] if tls else []))}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            given = {name.lower() for name, _ in headers}
            headers.extend(header for name, header in self._headers.items() if name not in given)
            return start_response(status, headers, exc_info)

        path: str = environ["PATH_INFO"]
        if not path.startswith(WEBHOOKS):
            answer = self._app(environ, start)
            _leave(environ)
            return answer
        status, headers, body = self._webhooks.answer(path[len(WEBHOOKS) :], environ)
        _leave(environ)
        start(f"{status} {responses.get(status, '')}", headers)
        return [body]


def _leave(environ: WSGIEnvironment) -> None:
    """A body that nobody has read to its end ends the connection with the answer.

    gunicorn 27.0 would wait for the rest, to keep the connection, and look at its deadline only once a kilobyte
    (`http.parser.finish_body`): a sender that drips would hold the thread for as long as it likes. For
    what is all there nobody waits.
    """
    if environ.get(GATHERED):
        return
    body = environ.get("wsgi.input")
    reader = getattr(body, "reader", None)
    if getattr(reader, "length", 0) or getattr(reader, "parser", None):
        body.failed = True  # type: ignore[union-attr]  # gunicorn's own mark for where the next request is unknown
