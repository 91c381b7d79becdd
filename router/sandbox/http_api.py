"""Any JSON API, locally: one resource per person, merged by key.

The settings are those of an `http` destination with its secrets in clear: `method`, `url` (or `path`, the same without
scheme and host; `{user}` is the hole), `auth` (`{bearer: …}`, `{basic: {user, password}}`, `{header: {name, value}}`),
`headers` (demanded as they stand), `user_at` (where the id is in the body if the URL has no hole). `reply` is the body
of a successful write; without it that is the stored document.

PUT, PATCH and POST merge objects key by key, null removes a key, anything else is replaced; 201 when the person is new.
GET and DELETE at the same URL read and remove.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from router.errors import ConfigError
from router.sandbox.api import (
    Answer,
    Api,
    Clock,
    Refusal,
    Request,
    SandboxDestination,
    Window,
    json_answer,
    media_type,
    read_json,
)

HOLE = "{user}"


def refused(status: int, message: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """A refusal with a plain JSON body."""
    return Refusal(json_answer(status, {"error": message}, headers))


class HttpApi(Api):
    """One API of a made-up vendor."""

    kind = "http"
    #: profile → document
    state: dict[str, dict[str, Any]]

    def __init__(self, destination: SandboxDestination, clock: Clock) -> None:
        super().__init__(destination, clock)
        self.state = {}
        self._window = Window(destination.limit or 0, destination.window_s or 60.0, clock)
        self._method = str(self.settings.get("method", "PUT")).upper()
        template = str(self.settings.get("path") or _path_of(str(self.settings.get("url", ""))))
        if not template.startswith("/"):
            raise ConfigError(f"sandbox {destination.name}: http needs the setting url or path")
        self._in_path = HOLE in template
        self._place = [key for key in str(self.settings.get("user_at") or "").split(".") if key]
        if not self._in_path and not self._place:
            raise ConfigError(f"sandbox {destination.name}: a url without {HOLE} needs user_at")
        self._path = re.compile(re.escape(template).replace(re.escape(HOLE), "([^/?]+)") + r"\Z")
        self._demanded = _demanded(self.settings)

    def respond(self, request: Request) -> Answer:
        match = self._path.match(request.target)
        if match is None:
            raise refused(404, "no such resource")
        for name, value in self._demanded.items():
            if request.headers.get(name) != value:
                raise refused(401, f"{name} is wrong", {"www-authenticate": "sandbox"})
        if not self._window.take():
            raise Refusal(self.failure(429, self._window.wait_s()))
        profile = unquote(match[1]) if self._in_path else None
        if request.method == self._method:
            return self._write(request, profile)
        if profile is not None and request.method in ("GET", "DELETE"):
            if profile not in self.state:
                raise refused(404, "no such person")
            if request.method == "GET":
                return json_answer(200, self.state[profile])
            del self.state[profile]
            return Answer(204, applied=True)
        raise refused(405, f"use {self._method}")

    def _write(self, request: Request, profile: str | None) -> Answer:
        if media_type(request) != "application/json":
            raise refused(415, "use application/json")
        try:
            body = read_json(request.body)
        except ValueError:
            raise refused(400, "the body is not JSON") from None
        if not isinstance(body, dict):
            raise refused(400, "the body must be an object")
        profile = profile or self._id_in(body)
        if not profile:
            raise refused(422, "the person's id is missing")
        new = profile not in self.state
        self.state[profile] = merged(self.state.get(profile, {}), body)
        reply = self.settings.get("reply")
        return json_answer(201 if new else 200, self.state[profile] if reply is None else reply, applied=True)

    def _id_in(self, body: Any) -> str | None:
        for key in self._place:
            body = body.get(key) if isinstance(body, dict) else None
        return body if isinstance(body, str) else None

    # --- for the sandbox itself ---------------------------------------------------------------------------------

    def held(self, profile: str) -> dict[str, Any] | None:
        return self.state.get(profile)

    def edit(self, profile: str, values: Mapping[str, Any]) -> bool:
        if profile in self.state:
            self.state[profile] = merged(self.state[profile], values)
            return True
        return False

    def profiles(self, request: Request) -> Sequence[str]:
        match = self._path.match(request.target)
        if match is not None and self._in_path:
            return [unquote(match[1])]
        try:
            found = self._id_in(read_json(request.body))
        except ValueError:
            return ()
        return [found] if found else ()

    def failure(self, status: int, wait_s: float | None = None) -> Answer:
        body = {"ok": False, "error": "refused by the sandbox" if status == 200 else "answered by the sandbox"}
        return json_answer(status, body, None if wait_s is None else {"retry-after": str(-int(-wait_s // 1))})


def _path_of(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _demanded(settings: Mapping[str, Any]) -> dict[str, str]:
    """The headers that a request must carry, lower-case name → value."""
    headers = {name.lower(): str(value) for name, value in (settings.get("headers") or {}).items()}
    auth = settings.get("auth") or {}
    if "bearer" in auth:
        headers["authorization"] = f"Bearer {auth['bearer']}"
    if "basic" in auth:
        pair = f"{auth['basic']['user']}:{auth['basic']['password']}".encode()
        headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    if "header" in auth:
        headers[auth["header"]["name"].lower()] = str(auth["header"]["value"])
    return headers


def merged(held: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Objects key by key, null removes, everything else is replaced."""
    result = dict(held)
    for name, value in given.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            old = result.get(name)
            result[name] = merged(old if isinstance(old, dict) else {}, value)
        else:
            result[name] = value
    return result
