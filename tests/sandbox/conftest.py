"""A running sandbox with one destination of each kind, and a client that speaks real HTTP to it."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from router.sandbox import Sandbox, SandboxDestination


class Reply(NamedTuple):
    status: int
    #: lower-case names
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


#: destination → headers that its API accepts
CREDENTIALS: Mapping[str, Mapping[str, str]] = {
    "moengage": {"authorization": basic("WORKSPACE", "data-key")},
    "engagelab": {"authorization": basic("api-key", "api-secret")},
    "channel": {"x-access-key": "access-key", "x-access-secret": "access-secret"},
    "moesif": {"x-moesif-application-id": "application-id"},
    "crm": {"authorization": "Bearer crm-token"},
}
SETTINGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "moengage": ("moengage", {"workspace": "WORKSPACE", "key": "data-key"}),
    "engagelab": ("engagelab", {"key": "api-key", "secret": "api-secret"}),
    "channel": ("channel", {"key": "access-key", "secret": "access-secret"}),
    "moesif": ("moesif", {"application_id": "application-id", "management_token": "management-token"}),
    "crm": ("http", {"url": "https://crm.example.com/v2/people/{user}", "auth": {"bearer": "crm-token"}}),
}
#: destination → (method, path, body) of a write about the person `u_1001` that is accepted
WRITES: Mapping[str, tuple[str, str, Any]] = {
    "moengage": (
        "POST",
        "/v1/customer/WORKSPACE",
        {"type": "customer", "customer_id": "u_1001", "attributes": {"email": "jane@example.com"}},
    ),
    "engagelab": ("POST", "/v1/user/register", {"identity_name": "user_id", "identity_values": ["u_1001"]}),
    "channel": ("PUT", "/open/v5/users/@u_1001", {"profile": {"email": "jane@example.com"}}),
    "moesif": ("POST", "/v1/users", {"user_id": "u_1001", "metadata": {"email": "jane@example.com"}}),
    "crm": ("PUT", "/v2/people/u_1001", {"attributes": {"email": "jane@example.com"}}),
}


class Client:
    """One kept-alive connection to the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.port = int(sandbox.url.rpartition(":")[2])
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(
        self, destination: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One request with the destination's credentials; `headers` go over them, an empty value leaves one out."""
        given = {"content-type": "application/json", **CREDENTIALS.get(destination, {}), **(headers or {})}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {name: value for name, value in given.items() if value}
        self.connection.request(method, f"/{destination}{path}", data, sent)
        reply = self.connection.getresponse()
        return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())

    def write(self, destination: str, headers: Mapping[str, str] | None = None) -> Reply:
        """The accepted write about `u_1001`."""
        return self.ask(destination, *WRITES[destination], headers)

    def raw(self, destination: str) -> bytes:
        """All that comes back for the accepted write on a connection of its own, until it ends."""
        with self.open(destination) as connection:
            return receive(connection)

    def open(self, destination: str, **headers: str) -> socket.socket:
        """A new connection over which the accepted write has been sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(self.bytes(destination, **headers))
        return connection

    def bytes(self, destination: str, **more: str) -> bytes:
        """The accepted write as it goes over the wire."""
        method, path, body = WRITES[destination]
        data = json.dumps(body).encode()
        headers = {"host": "127.0.0.1", "content-type": "application/json", **CREDENTIALS[destination], **more}
        lines = [f"{method} /{destination}{path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
        return ("\r\n".join(lines) + f"\r\ncontent-length: {len(data)}\r\n\r\n").encode() + data


def receive(connection: socket.socket) -> bytes:
    """All that comes until the peer closes. Raises `ConnectionResetError` if it resets."""
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def until(true: Callable[[], Any], deadline_s: float = 10.0) -> Any:
    """Wait until something is true, and give it back. Fails at the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.002)
    raise AssertionError("it never came to be")


def destinations(**changes: Mapping[str, Any]) -> dict[str, SandboxDestination]:
    """The five destinations; `moengage={"settings": {…}, "limit": 3}` adds to one of them."""
    made = {}
    for name, (kind, settings) in SETTINGS.items():
        change = dict(changes.get(name, {}))
        merged = {**settings, **change.pop("settings", {})}
        made[name] = SandboxDestination(name, kind, merged, **change)
    return made


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(destinations()) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Client:
    return Client(sandbox)


@pytest.fixture
def serve() -> Iterator[Callable[..., Client]]:
    """`serve(moengage={"limit": 3}, clock=…)` starts a sandbox and gives a client of it."""
    running: list[Sandbox] = []

    def start(clock: Callable[[], float] = time.time, **changes: Mapping[str, Any]) -> Client:
        running.append(Sandbox(destinations(**changes), clock=clock).start())
        return Client(running[-1])

    yield start
    for one in running:
        one.stop()
