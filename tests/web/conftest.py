"""A web application over a real store, with one sender that signs; and the same behind a real gunicorn."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from router.ruleset import load
from router.settings import Settings
from router.sources import Source
from router.store import schema
from router.store.store import Store, open_store
from router.web import create_app

ROOT = Path(__file__).parents[2]
SECRET = "a secret of more than enough bytes"

RULES = {
    "shop.yaml": b"""
source:
  name: shop
  verify: {scheme: hmac, header: X-Signature, signed: "{body}"}
  secret: $env.SHOP_SECRET
  identity: {type: .type, id: .id, time: .at}
  max_bytes: 20000
rules: {}
""",
    "slack.yaml": b"""
source: {name: slack, secret: $env.SLACK_SECRET}
rules: {}
""",
    "meta.yaml": b"""
source:
  name: meta
  verify: {scheme: hmac, header: X-Hub-Signature-256, prefix: sha256=, signed: "{body}"}
  secret: $env.META_SECRET
  identity: {id: .id, time: .at}
  handshake: {name: hub, verify_token: $env.META_TOKEN}
  ack: {status: 202, body: accepted, headers: {X-Kind: a}}
rules: {}
""",
    "office.yaml": b"""
source:
  name: office
  verify: {scheme: basic}
  secret: {user: $env.OFFICE_USER, password: $env.OFFICE_PASSWORD}
  identity: {id: .id, time: .at}
rules: {}
""",
    "mutual.yaml": b"""
source:
  name: mutual
  verify: {scheme: token, name: X-Token}
  secret: $env.SHOP_SECRET
  network: {mtls_header: {name: X-Client, value: [CN=shop]}}
  identity: {id: .id, time: .at}
rules: {}
""",
    "keyed.yaml": b"""
source:
  name: keyed
  verify:
    scheme: jwt
    name: Authorization
    auth_scheme: Bearer
    jwks_url: "https://keys.example.invalid/jwks"
    algorithms: [RS256]
    audience: router
    issuer: "https://keys.example.invalid/"
  identity: {id: .id, time: .at}
rules: {}
""",
}
ENVIRONMENT = {
    "SHOP_SECRET": SECRET,
    "SLACK_SECRET": SECRET,
    "META_SECRET": SECRET,
    "META_TOKEN": "a verify token of some length",
    "OFFICE_USER": "office of the router",
    "OFFICE_PASSWORD": SECRET,
}


@dataclass
class Site:
    """An application and what it stands on."""

    app: Flask
    store: Store
    sources: dict[str, Source]
    warnings: list[str] = field(default_factory=list)

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def signed(self, source: str, body: bytes) -> dict[str, str]:
        """The headers of a genuine request."""
        headers = self.sources[source].sign(body, now=datetime.now(UTC), event_id="msg_1")
        return {"content-type": "application/json", **headers}

    def post(self, source: str, body: bytes | Mapping[str, Any], **headers: str) -> TestResponse:
        """Post a genuine request; `headers` are laid over its own."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(f"/webhooks/{source}", data=data, headers={**self.signed(source, data), **given})

    def rows(self, table: str) -> list[Any]:
        """All rows of a table."""
        with self.store.read() as tx:
            return list(tx.execute(select(getattr(schema, table))))


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> dict[str, Source]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return dict(load(RULES, {}).sources)


@pytest.fixture
def site(sqlite_url: str, sources: dict[str, Source]) -> Iterator[Site]:
    yield from build(sqlite_url, sources)


@pytest.fixture
def each_site(store_url: str, sources: dict[str, Source]) -> Iterator[Site]:
    """The same on both databases."""
    yield from build(store_url, sources)


def build(url: str, sources: dict[str, Source]) -> Iterator[Site]:
    store = open_store(url, role="web")
    warnings: list[str] = []
    configured = Settings(database_url=url, trusted_proxies=("10.0.0.0/8",))
    app = create_app(lambda: sources, store, configured, warnings=lambda: warnings)
    yield Site(app, store, sources, warnings)
    store.close()


class Gunicorn:
    """`gunicorn wsgi:app` with the repository's own configuration."""

    def __init__(self, directory: Path, *, application: str = "wsgi:app", **environment: str) -> None:
        self.directory = directory
        self.rules = directory / "rules"
        if not self.rules.exists():
            self.rules.mkdir()
            for name, text in RULES.items():
                (self.rules / name).write_bytes(text)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = directory / "web.log"
        known = {name: value for name, value in os.environ.items() if re.match(r"PATH|LD_|HOME|LANG", name)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{self.port}", application],
                cwd=ROOT,
                env={
                    **known,
                    **ENVIRONMENT,
                    "DATABASE_URL": f"sqlite:///{directory / 'router.db'}",
                    "ROUTER_RULES": str(self.rules),
                    **environment,
                },
                stdout=log,
                stderr=log,
            )

    def wait_until_it_answers(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if b" 200 " in self.talk(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def talk(self, *parts: bytes, half_close: bool = False) -> bytes:
        """Send these bytes and read until the other side closes."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(12)
        finally:
            self.process.kill()


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    server = Gunicorn(tmp_path_factory.mktemp("web"), WEB_THREADS="4")
    server.wait_until_it_answers()
    yield server
    server.stop()
