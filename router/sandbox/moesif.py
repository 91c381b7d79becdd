"""Moesif, locally: the collector's users and users batch, and the management API's read, write and delete.

API     https://www.moesif.com/docs/api#update-a-user, #update-users-in-batch; management API on the same page
Auth    collector: X-Moesif-Application-Id; management: Authorization: Bearer <management token>
Limits  a batch is under 250 KB; management 500 calls a calendar minute; the collector has none
Quirk   objects are merged recursively; each new `session_token` is added to a list, the old ones stay

Both hosts of the vendor are one here, their paths do not meet. Where the documents are silent this server chose:
* null changes nothing, at the top and inside `metadata`; lists are replaced whole; an empty batch is accepted;
* a batch with one bad element is refused whole; a bad `modified_time` is 400; a single user over 1 MB is 413;
* unknown names at the top, such as `userId`, are ignored, so that a user without `user_id` is 400;
* gzip request bodies are understood; answers to writes have no body; what is written can be read at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

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

BATCH_BYTES = 250_000
USER_BYTES = 1_000_000
TEXTS = ("company_id", "session_token", "modified_time", "ip_address", "user_agent_string")
# fmt: off
CAMPAIGN = frozenset({
    "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "referrer", "referring_domain", "gclid",
})
# fmt: on
#: names in `metadata` that mean something to Moesif; in the management API they also stand at the top
RESERVED = ("email", "name", "first_name", "last_name", "phone", "photo_url")
SEARCH = "/v1/search/~/users"


def refused(status: int, message: str) -> Refusal:
    """A refusal; clients must not depend on its body."""
    return Refusal(json_answer(status, {"error": {"status": status, "message": message}}))


class Moesif(Api):
    """One application."""

    kind = "moesif"
    required = ("application_id",)
    #: user id → `_source`
    state: dict[str, dict[str, Any]]

    def __init__(self, destination: SandboxDestination, clock: Clock) -> None:
        super().__init__(destination, clock)
        self.state = {}
        self._collector = Window(destination.limit or 0, destination.window_s or 60.0, clock)
        self._management = Window(500, destination.window_s or 60.0, clock)

    def respond(self, request: Request) -> Answer:
        if request.path == "/v1/users":
            return self._collect(request, self._one, USER_BYTES)
        if request.path == "/v1/users/batch":
            return self._collect(request, self._batch, BATCH_BYTES)
        if request.path.startswith(SEARCH):
            return self._manage(request)
        raise refused(404, "no such resource")

    # --- collector ----------------------------------------------------------------------------------------------

    def _collect(self, request: Request, handler: Callable[[Any], Answer], most_bytes: int) -> Answer:
        if request.method != "POST":
            raise refused(405, "use POST")
        if request.headers.get("x-moesif-application-id") != str(self.settings["application_id"]):
            raise refused(401, "X-Moesif-Application-Id is wrong")
        if not self._collector.take():
            raise Refusal(self.failure(429, self._collector.wait_s()))
        return handler(_json_body(request, most_bytes))

    def _one(self, body: Any) -> Answer:
        _check_user(body)
        self._merge(body)
        return Answer(201, applied=True)

    def _batch(self, body: Any) -> Answer:
        if not isinstance(body, list):
            raise refused(400, "the body must be an array of users")
        for user in body:
            _check_user(user)
        for user in body:
            self._merge(user)
        return Answer(201, applied=bool(body))

    def _merge(self, user: Mapping[str, Any]) -> None:
        held = self.state.setdefault(user["user_id"], {"user_id": user["user_id"]})
        now = datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        held["modified_time"] = user.get("modified_time") or now
        for name in ("company_id", "ip_address", "user_agent_string"):
            if user.get(name) is not None:
                held[name] = user[name]
        token = user.get("session_token")
        if token is not None and token not in held.setdefault("session_token", []):
            held["session_token"].append(token)
        campaign = {name: value for name, value in (user.get("campaign") or {}).items() if name in CAMPAIGN}
        for name, given in (("campaign", campaign), ("metadata", user.get("metadata"))):
            if given:
                held[name] = _merged(held.get(name, {}), given)

    # --- management ---------------------------------------------------------------------------------------------

    def _manage(self, request: Request) -> Answer:
        token = self.settings.get("management_token")
        if not token or request.headers.get("authorization") != f"Bearer {token}":
            raise refused(401, "the management token is wrong, or its scope is missing")
        if not self._management.take():
            raise Refusal(self.failure(429, self._management.wait_s()))
        rest = request.path[len(SEARCH) :]
        if rest in ("", "/batch"):
            if request.method != "POST":
                raise refused(405, "use POST")
            body = _json_body(request, BATCH_BYTES)
            return (
                self._batch([_with_metadata(user) for user in body] if isinstance(body, list) else body)
                if rest
                else (self._one(_with_metadata(body)))
            )
        if not rest.startswith("/") or "/" in rest[1:]:
            raise refused(404, "no such resource")
        return self._document(request, unquote(rest[1:]))

    def _document(self, request: Request, user_id: str) -> Answer:
        if request.method not in ("GET", "DELETE"):
            raise refused(405, "use GET or DELETE")
        if user_id not in self.state:
            raise refused(404, "no such user")
        if request.method == "GET":
            return json_answer(200, {"_id": user_id, "_source": self.state[user_id]})
        if parse_qs(request.query).get("delete_events", ["false"]) not in (["true"], ["false"]):
            raise refused(400, "delete_events is true or false")
        del self.state[user_id]
        return json_answer(200, {}, applied=True)

    # --- for the sandbox itself ---------------------------------------------------------------------------------

    def held(self, profile: str) -> dict[str, Any] | None:
        return self.state.get(profile)

    def edit(self, profile: str, values: Mapping[str, Any]) -> bool:
        if profile in self.state:
            self.state[profile] = _merged(self.state[profile], values)
            return True
        return False

    def profiles(self, request: Request) -> Sequence[str]:
        if request.path.startswith(f"{SEARCH}/") and request.method in ("GET", "DELETE"):
            return [unquote(request.path[len(SEARCH) + 1 :])]
        try:
            body = read_json(_plain(request, USER_BYTES))
        except (ValueError, Refusal):
            return ()
        users = body if isinstance(body, list) else [body]
        return [user["user_id"] for user in users if isinstance(user, dict) and "user_id" in user]

    def failure(self, status: int, wait_s: float | None = None) -> Answer:
        if status == 200:
            return refused(200, "refused by the sandbox").answer
        answer = refused(status, "answered by the sandbox").answer
        if wait_s is None:
            return answer
        return replace(answer, headers={**answer.headers, "retry-after": str(-int(-wait_s // 1))})


def _plain(request: Request, most_bytes: int) -> bytes:
    if len(request.body) > most_bytes:
        raise refused(413, f"at most {most_bytes} bytes")
    if request.headers.get("content-encoding", "identity").lower() != "gzip":
        return request.body
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = unpack.decompress(request.body, most_bytes)
    except zlib.error:
        raise refused(400, "the body is not gzip") from None
    if unpack.unconsumed_tail:
        raise refused(413, f"at most {most_bytes} bytes")
    return plain


def _json_body(request: Request, most_bytes: int) -> Any:
    if media_type(request) != "application/json":
        raise refused(400, "use application/json")
    try:
        return read_json(_plain(request, most_bytes))
    except ValueError:
        raise refused(400, "the body is not JSON") from None


def _check_user(user: Any) -> None:
    if not isinstance(user, dict):
        raise refused(400, "a user must be an object")
    if not isinstance(user.get("user_id"), str) or not user["user_id"]:
        raise refused(400, "user_id must be a string and not empty")
    for name in TEXTS:
        if not isinstance(user.get(name), str | None):
            raise refused(400, f"{name} must be a string")
    if user.get("modified_time") is not None and not _is_time(user["modified_time"]):
        raise refused(400, "modified_time must be an ISO 8601 date-time")
    campaign, metadata = user.get("campaign"), user.get("metadata")
    if not isinstance(campaign, dict | None) or not isinstance(metadata, dict | None):
        raise refused(400, "campaign and metadata must be objects")
    if not all(isinstance(value, str | None) for name, value in (campaign or {}).items() if name in CAMPAIGN):
        raise refused(400, "the values of campaign must be strings")
    for name in RESERVED:
        if not isinstance((metadata or {}).get(name), str | None):
            raise refused(400, f"metadata.{name} must be a string")


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return "T" in text


def _with_metadata(user: Any) -> Any:
    """The management API takes the reserved names at the top."""
    if not isinstance(user, dict):
        return user
    top = {name: user[name] for name in (*RESERVED, "user_name") if name in user}
    metadata = user.get("metadata")
    return {**user, "metadata": {**metadata, **top} if isinstance(metadata, dict) else metadata or top}


def _merged(held: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Objects key by key, everything else replaced; null changes nothing."""
    result = dict(held)
    for name, value in given.items():
        if isinstance(value, dict):
            old = result.get(name)
            result[name] = _merged(old if isinstance(old, dict) else {}, value)
        elif value is not None:
            result[name] = value
    return result
