"""Every handshake as a transcript, `tests/sources/transcripts/*.yaml`: the requests of a sender, and what it is told.

An exchange goes to the first source of its file unless it says `to`. `sign: true` signs the body as its sender would,
another body instead of `true` makes a signature that fits that one, `sns` and `stranger` are keys. A map of `text` and
`times` is that text, so many times. Nothing may be stored unless `stored` says so; `visits` are the URLs that are
fetched besides certificates.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256

from router.errors import UpstreamError
from router.http import Door
from router.ruleset import load
from router.settings import Settings
from router.sources import HANDSHAKES
from router.store.store import open_store
from router.web import create_app
from tests.oracles import keys
from tests.peers import peer
from tests.test_http import certificate, tls
from tests.web.conftest import Site

FILES = {path.stem: path for path in sorted((Path(__file__).parents[1] / "sources" / "transcripts").glob("*.yaml"))}
ENVIRONMENT = {"T_SECRET": "a secret of more than enough bytes", "T_TOKEN": "a token that was agreed on"}
CERT_URL = "https://sns.eu-north-1.amazonaws.com/for-tests-only.pem"


def whole(value: Any) -> Any:
    """A value of a file with its repetitions written out."""
    if isinstance(value, dict):
        if value.keys() == {"text", "times"}:
            return value["text"] * value["times"]
        return {key: whole(inner) for key, inner in value.items()}
    return [whole(inner) for inner in value] if isinstance(value, list) else value


TRANSCRIPTS: dict[str, Any] = {name: whole(yaml.safe_load(path.read_text("utf-8"))) for name, path in FILES.items()}
EXCHANGES = [
    pytest.param(name, exchange, id=f"{name}: {exchange['name']}")
    for name, transcript in TRANSCRIPTS.items()
    for exchange in transcript["exchanges"]
]


class Elsewhere(Door):
    """A door to the internet of these tests: a server on this machine has every host, under its name."""

    def __init__(self, server: str, authority: Path) -> None:
        super().__init__(ca_file=str(authority))
        self.server = server
        self.asked: list[str] = []

    def get(self, url: str, **limits: Any) -> bytes:
        self.asked.append(url)
        parts = urlsplit(url)
        if parts.scheme != "https" or parts.hostname not in limits["allowed_hosts"]:
            raise UpstreamError("not allowed")
        return super().get(url.replace("https:/", self.server, 1), **{**limits, "allowed_hosts": {"127.0.0.1"}})


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its URL, and the authority of its certificate."""
    pem, key = certificate(tmp_path_factory.mktemp("internet"), ["127.0.0.1"])
    page = keys.certificate("sns", "sns.amazonaws.com").encode()

    def answer(connection: Any, request: bytes) -> None:
        found = b"404 Not Found" if b"Away" in request else b"200 OK"
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (found, len(page), page))

    with peer(answer, tls(pem, key)) as server:
        yield server.url, pem


@pytest.fixture
def door(internet: tuple[str, Path]) -> Iterator[Elsewhere]:
    opened = Elsewhere(*internet)
    yield opened
    opened.close()


def site_of(transcript: Mapping[str, Any], url: str, door: Door) -> Site:
    files = {
        f"{source['name']}.yaml": json.dumps({"source": source, "rules": {}}).encode()
        for source in transcript["sources"]
    }
    sources = dict(load(files, {}).sources)
    store = open_store(url, role="web")
    return Site(create_app(lambda: sources, store, Settings(database_url=url), door=door), store, sources)


def as_body(value: Any) -> bytes:
    return b"" if value is None else value.encode() if isinstance(value, str) else json.dumps(value).encode()


def signed_as_sns(message: Mapping[str, Any], signer: str, at: datetime) -> dict[str, Any]:
    """The message with time and signature: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html"""
    timed = {
        **message,
        "Timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.000Z",
        "SignatureVersion": "2",
        "SigningCertURL": CERT_URL,
    }
    names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    if message["Type"] == "Notification":
        names = ["Message", "MessageId", "Timestamp", "TopicArn", "Type"]
    text = "".join(f"{name}\n{timed[name]}\n" for name in names)
    signature = keys.key(signer).sign(text.encode(), padding.PKCS1v15(), SHA256())
    return {**timed, "Signature": base64.b64encode(signature).decode()}


def send(site: Site, name: str, request: Mapping[str, Any]) -> Any:
    sign, at = request.get("sign"), datetime.now(UTC) - timedelta(seconds=request.get("age_s", 0))
    body = as_body(signed_as_sns(request["body"], sign, at) if isinstance(sign, str) else request.get("body"))
    headers = {"content-type": "application/json"}
    if sign is True or isinstance(sign, dict):
        headers |= site.sources[name].sign(body if sign is True else as_body(sign), now=at, event_id="msg_1")
    headers |= {key.lower(): value for key, value in request.get("headers", {}).items()}
    query = request.get("query", "")
    return site.client.open(
        f"/webhooks/{name}",
        method=request.get("method", "POST"),
        query_string=urlencode(query) if isinstance(query, dict) else query,
        headers=headers,
        data=body,
    )


@pytest.mark.parametrize(("name", "exchange"), EXCHANGES)
def test_an_exchange_goes_as_written(
    name: str, exchange: Mapping[str, Any], sqlite_url: str, door: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    transcript = TRANSCRIPTS[name]
    site = site_of(transcript, sqlite_url, door)
    for _ in range(exchange.get("times", 1)):
        answer, wanted = (
            send(site, exchange.get("to", transcript["sources"][0]["name"]), exchange["request"]),
            exchange["answer"],
        )
        assert answer.status_code == wanted["status"]
        assert {header: answer.headers.get(header) for header in wanted.get("headers", {})} == wanted.get("headers", {})
        assert not [header for header in wanted.get("absent", ()) if header in answer.headers]
        if "body" in wanted:
            text = answer.data.decode()
            assert (json.loads(text) if isinstance(wanted["body"], dict) else text) == wanted["body"]
    assert len(site.rows("events")) == exchange.get("stored", 0)
    if exchange["answer"]["status"] == 401:
        assert {(row.status, row.reason) for row in site.rows("refusals")} == {(401, "signature")}
    if "visits" in exchange:
        assert [url for url in door.asked if url != CERT_URL] == exchange["visits"]
    site.store.close()


def test_every_handshake_has_a_transcript_with_a_refusal() -> None:
    assert set(TRANSCRIPTS) == set(HANDSHAKES)
    for transcript in TRANSCRIPTS.values():
        statuses = [exchange["answer"]["status"] for exchange in transcript["exchanges"]]
        assert min(statuses) < 300
        assert 401 in statuses
