"""MoEngage, locally: Track User, bulk, Get User, delete, GDPR erasure, merge, connection test.

API     https://moengage.com/docs/api/user/track-user
        older pages: https://developers.moengage.com/hc/en-us/articles/4413167462804
Auth    Basic workspace:data key, else 401; 409 if the workspace in the URL is another, 401 if `MOE-APPKEY` is
Limits  10,000 users a minute, 1,000 for Get User, 5,000 for delete, 1,000 for merge; 128 KB, bulk and GDPR 100 KB

Where the documents are silent this server chose, strict where a mistake should show:
* a null attribute is ignored; a list of mixed types, an unknown platform and a reserved name are refused;
* objects are dropped unless the setting `objects` is true; the 51st element of a list is dropped;
* accepted writes are applied at once and deletions too (the vendor says "soon" and "after 24 h");
* `unset_attributes`, which only the older pages describe, works unless the setting `unset_attributes` is false.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from router.sandbox import moengage_people as people
from router.sandbox.api import (
    Answer,
    Api,
    Clock,
    Refusal,
    Request,
    SandboxDestination,
    Window,
    basic_credentials,
    json_answer,
    media_type,
    read_json,
)

TRACK_BYTES = 128 * 1024
BULK_BYTES = 100 * 1024
IDENTIFIER_TYPES = ("customer_id", "moengage_id", "id")
#: `identity_type` of an erasure request → the attribute it is looked up in
ERASURE_TYPES = {"ID": "customer_id", "email": "email", "mobile": "mobile", "user_secondary_id": "user_secondary_id"}
#: HTTP status → the type in the error body
ERROR_TYPES = {
    401: "Authentication required",
    403: "BlockedClient",
    409: "Authentication mismatch",
    413: "PayloadTooLarge",
    415: "UnsupportedMediaType",
    429: "RateLimitError",
}


def fail(status: int, kind: str, message: str, attribute: str | None = None) -> Refusal:
    """A refusal in the shape that the Data API documents."""
    error = {"type": kind, "message": message, "request_id": "sandbox"}
    if attribute is not None:
        error["attribute"] = attribute
    return Refusal(json_answer(status, {"status": "fail", "error": error}))


class Route(NamedTuple):
    """One endpoint: the limit it counts against, what answers, and the longest body."""

    window: str | None
    handler: Callable[[Request, Any], Answer]
    most_bytes: int = TRACK_BYTES


class MoEngage(Api):
    """One workspace."""

    kind = "moengage"
    required = ("workspace", "key")
    state: people.State

    def __init__(self, destination: SandboxDestination, clock: Clock) -> None:
        super().__init__(destination, clock)
        self.state = people.State(
            identity_resolution=bool(self.settings.get("identity_resolution")),
            objects=bool(self.settings.get("objects")),
            unset=bool(self.settings.get("unset_attributes", True)),
            most_names=int(self.settings.get("attribute_limit", 256)),
        )
        window_s = destination.window_s or 60.0
        limit = 10_000 if destination.limit is None else destination.limit
        self._windows = {
            "track": Window(limit, window_s, clock),
            "export": Window(1_000, window_s, clock),
            "delete": Window(5_000, window_s, clock),
            "merge": Window(1_000, window_s, clock),
        }
        #: `*` stands for the workspace
        self._routes = {
            "/v1/customers/export": Route("export", self._export),
            "/v1/customer/delete": Route("delete", self._delete),
            "/v1/customer/merge": Route("merge", self._merge),
            "/v1/integrations/authentication": Route(None, self._authentication),
            "/v1/customer/*": Route("track", self._track),
            "/v1/transition/*": Route("track", self._transition, BULK_BYTES),
            "/v1/opengdpr_requests/*": Route(None, self._erase, BULK_BYTES),
        }

    # --- the whole of a request ---------------------------------------------------------------------------------

    def respond(self, request: Request) -> Answer:
        head, _, last = request.path.rpartition("/")
        route = self._routes.get(request.path)
        workspace = None
        if route is None and last:
            route, workspace = self._routes.get(f"{head}/*"), unquote(last)
        if route is None:
            raise fail(404, "NotFound", "no such resource")
        try:
            answer = self._admitted(request, route, workspace)
        except Refusal as refusal:
            answer = refusal.answer
        return self._with_limits(answer, route.window)

    def _admitted(self, request: Request, route: Route, workspace: str | None) -> Answer:
        if request.method != "POST":
            raise fail(405, "MethodNotAllowed", "use POST")
        self._authenticate(request, workspace)
        kind = media_type(request)
        if not kind:
            raise fail(400, "MissingHeader", "missing header value: Content-Type")
        if kind != "application/json":
            raise fail(415, ERROR_TYPES[415], "unsupported media type, use application/json")
        if len(request.body) > route.most_bytes:
            raise fail(413, ERROR_TYPES[413], f"payload is over {route.most_bytes // 1024} KB")
        if not request.body.strip():
            raise fail(400, "MalformedRequest", "request body is empty")
        try:
            body = read_json(request.body)
        except ValueError:
            raise fail(400, "MalformedRequest", "request body is not JSON") from None
        if not isinstance(body, dict):
            raise fail(400, "MalformedRequest", "request body is not a JSON object")
        return route.handler(request, body)

    def _authenticate(self, request: Request, in_url: str | None) -> None:
        credentials = basic_credentials(request)
        if credentials is None:
            raise fail(401, ERROR_TYPES[401], "authentication required")
        if request.headers.get("moe-appkey", credentials[0]) != credentials[0]:
            raise fail(401, ERROR_TYPES[401], "MOE_APPKEY doesn't match")
        if in_url is not None and in_url != credentials[0]:
            raise fail(409, ERROR_TYPES[409], "workspace in the URL and in the credentials differ")
        if credentials != (str(self.settings["workspace"]), str(self.settings["key"])):
            raise fail(401, ERROR_TYPES[401], "workspace id or API key is wrong")

    def _with_limits(self, answer: Answer, name: str | None) -> Answer:
        window = self._windows.get(name or "")
        if window is None or not window.limit:
            return answer
        limits = {
            "x-ratelimit-limit": str(window.limit),
            "x-ratelimit-remaining": str(window.remaining),
            "x-ratelimit-reset": str(-int(-window.wait_s() // 1)),
        }
        return replace(answer, headers={**answer.headers, **limits})

    def _take(self, name: str, calls: int = 1) -> None:
        if not self._windows[name].take(calls):
            raise fail(429, ERROR_TYPES[429], "Rate Limits Exceeded")

    def _demand_app_id(self, request: Request) -> None:
        given = parse_qs(request.query).get("app_id", [])
        if not given:
            raise fail(400, "ParamsRequired", "app_id is required")
        if given[0] != str(self.settings["workspace"]):
            raise fail(400, "InvalidParams", "app_id is invalid")

    # --- endpoints ----------------------------------------------------------------------------------------------

    def _track(self, request: Request, body: dict[str, Any]) -> Answer:
        project = self.settings.get("project_code")
        if project and parse_qs(request.query).get("project_code") != [str(project)]:
            raise fail(400, "InvalidParams", "project_code is missing or wrong")
        people.check_customer(body, self.state.identity_resolution)
        self._take("track")
        return _accepted(applied=self.state.write(body))

    def _transition(self, _request: Request, body: dict[str, Any]) -> Answer:
        """Bulk. The answer says nothing of single elements; one whose type has the wrong case is skipped."""
        elements = body.get("elements")
        if body.get("type") != "transition":
            raise fail(400, "MissingAttributeError", "type must be transition", "type")
        if not isinstance(elements, list) or not elements or not all(isinstance(item, dict) for item in elements):
            raise fail(400, "MissingAttributeError", "elements must be a list of objects, one at least", "elements")
        customers = []
        for element in elements:
            kind = element.get("type")
            if not isinstance(kind, str) or kind.lower() not in {"customer", "event", "device"}:
                raise fail(400, "MissingAttributeError", "type of an element is wrong", "type")
            if kind == "customer":
                people.check_customer(element, self.state.identity_resolution)
                customers.append(element)
        self._take("track", len(customers))
        written = [self.state.write(element) for element in customers]
        return _accepted(applied=any(written))

    def _export(self, request: Request, body: dict[str, Any]) -> Answer:
        self._demand_app_id(request)
        data = body.get("data")
        if not isinstance(data, dict):
            raise fail(400, "MissingAttributeError", "data is not found in the payload", "data")
        identifiers = data.get("identifiers")
        if not isinstance(identifiers, list) or not identifiers:
            raise fail(400, "MissingAttributeError", "identifiers must be a list, one at least", "identifiers")
        if len(identifiers) > 20:
            raise fail(400, "InvalidParams", "limit breached, max 20", "identifiers")
        wanted = body.get("user_fields_to_export")
        if wanted is not None and not _is_texts(wanted):
            raise fail(400, "InvalidParams", "user_fields_to_export must be a list of names", "user_fields_to_export")
        self._take("export", len(identifiers))
        found, missing = [], []
        for entry in identifiers:
            user = self._identified(entry)
            if user is None:
                missing.append(entry)
            else:
                found.append({"user_attributes": _chosen(user, wanted)})
        result = {"users_not_found": missing, "users": found}
        return json_answer(200, {"status": "success", "type": "export_users", "data": result})

    def _identified(self, entry: Any) -> dict[str, Any] | None:
        if not isinstance(entry, dict) or entry.get("identifier_type") not in IDENTIFIER_TYPES:
            raise fail(400, "InvalidParams", f"identifier_type is one of {', '.join(IDENTIFIER_TYPES)}", "identifiers")
        value = entry.get("identifier")
        if not isinstance(value, str):
            raise fail(400, "InvalidParams", "identifier must be a string", "identifiers")
        name = "customer_id" if entry["identifier_type"] == "customer_id" else "_id"
        return self.state.find(name, value)

    def _delete(self, request: Request, body: dict[str, Any]) -> Answer:
        self._demand_app_id(request)
        kind, value = body.get("identity_type"), body.get("identity_value")
        if kind not in IDENTIFIER_TYPES or not isinstance(value, str) or not value:
            raise fail(400, "InvalidParams", "identity_type and identity_value are required")
        self._take("delete")
        user = self.state.find("customer_id" if kind == "customer_id" else "_id", value)
        if user is None:
            raise fail(400, "Not Found", "user not found")
        self.state.remove(user)
        return _accepted(applied=True)

    def _erase(self, _request: Request, body: dict[str, Any]) -> Answer:
        """An e-mail shared by several people erases all of them, as documented."""
        identities = body.get("identities")
        if body.get("request_type") != "erasure" or not isinstance(body.get("submitted_time"), str):
            raise fail(400, "InvalidParams", "request_type must be erasure, submitted_time a time")
        if not isinstance(identities, list) or len(identities) != 1 or not isinstance(identities[0], dict):
            raise fail(400, "InvalidParams", "identities must hold one identity", "identities")
        attribute = ERASURE_TYPES.get(str(identities[0].get("identity_type")))
        if attribute is None:
            raise fail(400, "InvalidParams", f"identity_type is one of {', '.join(ERASURE_TYPES)}", "identities")
        users = self.state.find_all(attribute, identities[0].get("identity_value"))
        for user in users:
            self.state.remove(user)
        return _accepted(applied=bool(users))

    def _merge(self, request: Request, body: dict[str, Any]) -> Answer:
        self._demand_app_id(request)
        pairs = body.get("merge_data")
        if self.state.identity_resolution or not isinstance(pairs, list) or not 1 <= len(pairs) <= 100:
            raise fail(400, "InvalidParams", "merge_data must hold 1 to 100 pairs", "merge_data")
        names = ("merged_user", "retained_user")
        if not all(isinstance(pair, dict) and all(isinstance(pair.get(n), str) for n in names) for pair in pairs):
            raise fail(400, "InvalidParams", "a pair has merged_user and retained_user", "merge_data")
        self._take("merge", len(pairs))
        for pair in pairs:
            self.state.merge(pair["merged_user"], pair["retained_user"])
        return json_answer(200, {"status": "success", "operation": "created"}, applied=True)

    def _authentication(self, request: Request, body: dict[str, Any]) -> Answer:
        if "moe-appkey" not in request.headers:
            raise fail(400, "MissingHeader", "missing header value: MOE-APPKEY")
        if body.get("app_id") != str(self.settings["workspace"]):
            raise fail(400, "InvalidParams", "app_id is invalid", "app_id")
        return json_answer(200, {"status": "success", "app_name": "sandbox"})

    # --- for the sandbox itself ---------------------------------------------------------------------------------

    def held(self, profile: str) -> dict[str, Any] | None:
        return self.state.find("customer_id", profile) or self.state.identified({"": profile})

    def edit(self, profile: str, values: Mapping[str, Any]) -> bool:
        user = self.held(profile)
        if user is not None:
            user.update(values)
        return user is not None

    def profiles(self, request: Request) -> Sequence[str]:
        try:
            body = read_json(request.body)
        except ValueError:
            return ()
        if not isinstance(body, dict):
            return ()
        elements = body.get("elements")
        bodies = [body, *(elements if isinstance(elements, list) else ())]
        return [item["customer_id"] for item in bodies if isinstance(item, dict) and "customer_id" in item]

    def failure(self, status: int, wait_s: float | None = None) -> Answer:
        if status == 200:
            error = {"type": "InvalidParams", "message": "refused by the sandbox", "request_id": "sandbox"}
            return json_answer(200, {"status": "fail", "error": error})
        kind = ERROR_TYPES.get(status, "ServerError" if status >= 500 else "InvalidParams")
        answer = fail(status, kind, "Rate Limits Exceeded" if status == 429 else "answered by the sandbox").answer
        if status != 429:
            return answer
        limits = {"x-ratelimit-limit": "10000", "x-ratelimit-remaining": "0"}
        return replace(
            answer, headers={**answer.headers, **limits, "x-ratelimit-reset": f"{-int(-(wait_s or 60) // 1)}"}
        )


def _accepted(*, applied: bool) -> Answer:
    message = "Your request has been accepted and will be processed soon."
    return json_answer(200, {"status": "success", "message": message, "request_id": "sandbox"}, applied=applied)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _chosen(user: Mapping[str, Any], wanted: Sequence[str] | None) -> dict[str, Any]:
    return {name: value for name, value in user.items() if name != "_id" and (wanted is None or name in wanted)}
