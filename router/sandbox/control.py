"""The sandbox's own endpoints under `/_sandbox`, so that another process can ask and script it. Loopback only.

GET    /_sandbox/calls?destination=&since=             the log; credentials are left out
GET    /_sandbox/held/<destination>/<profile>          the stored copy
PUT    /_sandbox/held/<destination>/<profile>          changes it by hand
GET    /_sandbox/faults                                the faults in force
POST   /_sandbox/faults   {"fault": "channel:429:30s"} puts one in force
DELETE /_sandbox/faults?destination=                   ends them
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from router.errors import ConfigError
from router.sandbox.api import Answer, Request, json_answer, media_type, read_json
from router.sandbox.fault import Fault, parse_fault
from router.sandbox.server import Connection, RecordedCall

if TYPE_CHECKING:
    from router.sandbox.sandbox import FaultReport, Sandbox

#: in place of a destination
CONTROL = "_sandbox"
#: headers that carry credentials of one of the vendors
SECRET_HEADERS = frozenset(
    ["authorization", "moe-appkey", "x-access-key", "x-access-secret", "x-moesif-application-id", "cookie"]
)
_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class Control:
    """Answers the control requests of one sandbox, on the server's thread."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def answer(self, connection: Connection, request: Request) -> Answer:
        """The whole answer to one control request."""
        if not connection.local or urlsplit(f"//{request.headers.get('host', '')}").hostname not in _HOSTS:
            return _problem(403, "only from this machine")
        if request.method in ("POST", "PUT") and media_type(request) != "application/json":
            return _problem(415, "use application/json")
        try:
            return self._routed(request)
        except ConfigError as error:
            return _problem(400, str(error))

    def _routed(self, request: Request) -> Answer:
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        parts = [unquote(part) for part in request.path.split("/")[1:]]
        if parts == ["calls"] and request.method == "GET":
            calls = self._sandbox.calls(query.get("destination"), since=_number(query.get("since", "0")))
            return json_answer(200, [_call(call) for call in calls])
        if parts == ["faults"]:
            return self._faults(request, query)
        if len(parts) == 3 and parts[0] == "held":
            return self._held(request, parts[1], parts[2])
        return _problem(404, "there are calls, faults and held/<destination>/<profile>")

    def _held(self, request: Request, destination: str, profile: str) -> Answer:
        if request.method == "PUT":
            if not self._sandbox.edit(destination, profile, _object(request)):
                return _problem(404, "no such person")
        elif request.method != "GET":
            return _problem(405, "use GET or PUT")
        held = self._sandbox.held(destination, profile)
        return _problem(404, "no such person") if held is None else json_answer(200, held)

    def _faults(self, request: Request, query: Mapping[str, str]) -> Answer:
        if request.method == "POST":
            text = _object(request).get("fault")
            if not isinstance(text, str):
                return _problem(400, 'send {"fault": "channel:429:30s"}')
            self._sandbox.fault(*parse_fault(text))
        elif request.method == "DELETE":
            self._sandbox.heal(query.get("destination"))
        elif request.method != "GET":
            return _problem(405, "use GET, POST or DELETE")
        return json_answer(200, [_report(report) for report in self._sandbox.faults()])


def _problem(status: int, message: str) -> Answer:
    return json_answer(status, {"error": message})


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError("since is the number of a call")
    return int(text)


def _object(request: Request) -> dict[str, Any]:
    try:
        body = read_json(request.body)
    except ValueError:
        raise ConfigError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise ConfigError("the body must be an object")
    return body


def _text(data: bytes) -> dict[str, str]:
    try:
        return {"body": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(data).decode()}


def _call(call: RecordedCall) -> dict[str, Any]:
    """A call as JSON: the body as text, or as `body_base64` if it is not UTF-8; credentials as `(hidden)`."""
    shown = asdict(call)
    del shown["body"]
    headers = {name: "(hidden)" if name in SECRET_HEADERS else value for name, value in call.headers.items()}
    return {**shown, "headers": headers, "applied": call.applied, **_text(call.body)}


def _report(report: FaultReport) -> dict[str, Any]:
    default = Fault(report.fault.kind)
    fault = {name: value for name, value in asdict(report.fault).items() if value != getattr(default, name)}
    if report.fault.body is not None:
        fault |= _text(report.fault.body)
    return {
        "destination": report.destination,
        "fault": {**fault, "kind": report.fault.kind},
        "fired": report.fired,
        "remaining_s": report.remaining_s,
    }
