"""Bodies made to hurt, each signed as far as its sender signs, with the answer it gets; and a site that takes them."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from router.ruleset import load
from router.settings import Settings
from router.store.store import Store, open_store
from router.web import create_app

SECRET = "a secret of more than enough bytes"
MIB = 1 << 20
#: in every body that has room for it: it must come up nowhere
CANARY = b"canary-of-a-body"

_HMAC = {"scheme": "hmac", "header": "X-Signature", "signed": "{body}"}
SOURCES: Mapping[str, Mapping[str, Any]] = {
    "json": {"verify": _HMAC},
    "large": {"verify": _HMAC, "max_bytes": 25 * MIB},
    "lines": {"verify": _HMAC, "max_bytes": 25 * MIB, "envelope": "lines"},
    "form": {"verify": _HMAC, "max_bytes": 25 * MIB, "envelope": "form"},
    "multipart": {"verify": _HMAC, "max_bytes": 25 * MIB, "envelope": "multipart"},
    "adyen": {"verify": {"scheme": "adyen-item"}},
    "sns": {"preset": "aws-sns", "verify": {"topics": ["arn:aws:sns:eu-north-1:111122223333:users"]}},
    "token": {"verify": {"scheme": "jwt", "location": "body", "algorithms": ["HS256"]}, "envelope": "jwt"},
}
ENVIRONMENT = {"T_HOSTILE": SECRET, "T_HEX": "0011223344556677" * 4}


class Hostile(NamedTuple):
    """One request, and its answer."""

    source: str
    body: bytes
    status: int
    reason: str
    headers: Mapping[str, str] = {}

    def environ(self) -> dict[str, Any]:
        """The request as WSGI has it."""
        signature = hmac.new(SECRET.encode(), self.body, hashlib.sha256).hexdigest()
        headers = {"x-signature": signature, **self.headers}
        given = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        kinds = {"form": "application/x-www-form-urlencoded", "multipart": "multipart/form-data; boundary=b"}
        return {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": f"/webhooks/{self.source}",
            "CONTENT_TYPE": kinds.get(self.source, "application/json"),
            "CONTENT_LENGTH": str(len(self.body)),
            "wsgi.input": io.BytesIO(self.body),
            "REMOTE_ADDR": "127.0.0.1",
            **given,
        }


def keys(count: int) -> bytes:
    return b"{" + b",".join(b'"%d":0' % number for number in range(count)) + b"}"


def part(head: bytes, text: bytes = b"x") -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%s\r\n\r\n%s\r\n' % (head, text)


@cache
def bodies() -> Mapping[str, Hostile]:
    """By name. Made when asked for, as some are large."""
    bad = {
        "100,000 levels": b"[" * 100_000,
        "100,000 levels, closed": b"[" * 100_000 + b"]" * 100_000,
        "100,000 levels of objects": b'{"a":' * 100_000,
        "65 levels": b"[" * 65 + b"]" * 65,
        "100,000 keys": keys(100_000),
        "the same key 200,000 times": b"{" + b'"":0,' * 200_000 + b'"":0}',
        "330,000 lists": b"[" + b"[]," * 330_000 + b"[]]",
        "330,000 texts": b"[" + b'"",' * 330_000 + b'""]',
        "a million quotes": b'"' * MIB,
        "a million backslashes": b"\\" * MIB,
        "a text of a mebibyte": b'["' + b"x" * (MIB - 4) + b'"]',
        "a number of 5,000 digits": b'{"id":' + b"9" * 5_000 + b"}",
        "a number of a million digits": b'{"id":' + b"9" * 1_000_000 + b"}",
        "NaN": b'{"id":NaN}',
        "NaN behind 90,000 values": b"[" + b"1," * 90_000 + b"NaN]",
        "Infinity": b'{"id":-Infinity}',
        "beyond a double": b'{"id":1e999}',
        "a key twice": b'{"id":1,"id":2}',
        "half a surrogate pair": b'{"id":"\\ud800"}',
        "half a surrogate pair behind 60,000 whole ones": b"[" + b'"\\ud83d\\ude00",' * 60_000 + b'"\\ud800"]',
        "NUL": b'{"id":"\\u0000"}',
        "a raw NUL": b'{"id":"\x00"}',
        "truncated": b'{"id":"e_1","a":[1,2',
        "truncated after a mebibyte": b'{"a":["' + b'x","' * 90_000,
        "not UTF-8": b'{"id":"\xff"}',
        "UTF-16": '{"id":"e_1"}'.encode("utf-16"),
        "nothing": b"",
    }
    found = {name: Hostile("json", body, 400, "malformed") for name, body in bad.items()}
    found |= {f"{name}, unsigned by Adyen": _unsigned("adyen", body) for name, body in bad.items()}
    found |= {f"{name}, unsigned by SNS": _unsigned("sns", body) for name, body in bad.items()}
    found |= _large()
    return found | _other_formats()


def _unsigned(source: str, body: bytes) -> Hostile:
    return Hostile(source, body, 401, "signature")


def _large() -> dict[str, Hostile]:
    whole = 25 * MIB
    found = {
        "a million keys": keys(1_000_000),
        "25 MiB of levels": b"[" * whole,
        "25 MiB of quotes": b'"' * whole,
        "25 MiB of empty objects": b"[" + b"{}," * (whole // 3 - 2) + b"{}]",
        "25 MiB of one number": b"9" * whole,
    }
    large = {name: Hostile("large", body, 400, "malformed") for name, body in found.items()}
    bomb = gzip.compress(b"\0" * (10 * MIB))
    return {
        **large,
        "over the limit": Hostile("json", b"x" * (MIB + 1), 413, "too-large"),
        "far over the limit": Hostile("json", b"x" * whole, 413, "too-large"),
        "a compressed bomb": Hostile("json", bomb, 415, "media-type", {"content-encoding": "gzip"}),
        "compressed twice": Hostile("json", gzip.compress(bomb), 415, "media-type", {"content-encoding": "gzip, gzip"}),
        "another compression": Hostile("json", b"{}", 415, "media-type", {"content-encoding": "br"}),
    }


def _other_formats() -> dict[str, Hostile]:
    whole = 25 * MIB
    return {
        "10,001 lines": Hostile("lines", b"{}\n" * 10_001, 413, "too-large"),
        "25 MiB of line ends": Hostile("lines", b"\n" * whole, 413, "too-large"),
        "25 MiB of lines": Hostile("lines", b"1\n" * (whole // 2), 413, "too-large"),
        "1,001 fields": Hostile("form", b"a=1&" * 1_001, 413, "too-large"),
        "25 MiB of escapes": Hostile("form", b"%41" * (whole // 3), 413, "too-large"),
        "a mebibyte of escapes": Hostile("form", b"a=" + b"%41" * (MIB // 3 - 1), 400, "malformed"),
        "a mebibyte of percent signs": Hostile("form", b"a=" + b"%" * (MIB - 2), 400, "malformed"),
        "1,001 parts": Hostile("multipart", part(b'a"') * 1_001 + b"--b--", 413, "too-large"),
        "a part with a mebibyte of headers": Hostile(
            "multipart", part(b'a"' + b"\r\nX: y" * 170_000) + b"--b--", 400, "malformed"
        ),
        "a part with a file": Hostile("multipart", part(b'a"; filename="x"') + b"--b--", 400, "malformed"),
        "a mebibyte of a token": Hostile("token", b"a." + b"a" * (MIB - 4) + b".a", 401, "signature"),
        "a token of full stops": Hostile("token", b"." * MIB, 401, "signature"),
    }


def sources() -> Mapping[str, Any]:
    """The sources; their secrets are in `ENVIRONMENT`."""
    files = {}
    for name, own in SOURCES.items():
        secret = {} if name == "sns" else {"secret": "$env.T_HEX" if name == "adyen" else "$env.T_HOSTILE"}
        source = {"name": name, "identity": {"id": ".id"}, **secret, **own}
        files[f"{name}.yaml"] = json.dumps({"source": source, "rules": {}}).encode()
    return dict(load(files, {}).sources)


class Target:
    """The web application over a real store, called as a server calls it."""

    def __init__(self, url: str) -> None:
        self.store: Store = open_store(url, role="web")
        self.sources = sources()
        self.app = create_app(lambda: self.sources, self.store, Settings(database_url=url))

    def call(self, environ: dict[str, Any]) -> tuple[int, bytes]:
        """Status and body of the answer."""
        seen: list[str] = []

        def start(status: str, _headers: Any, _info: Any = None) -> Any:
            seen.append(status)

        body = b"".join(self.app.wsgi_app(environ, start))
        return int(seen[0][:3]), body

    def close(self) -> None:
        self.store.close()


def targets(url: str) -> Iterator[Target]:
    target = Target(url)
    yield target
    target.close()
