"""Bodies made to hurt get their 4xx, are stored nowhere, and are not read beyond the limit that they pass."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from router.sources import jsontext
from router.store import schema
from tests.web.hostile import ENVIRONMENT, MIB, SOURCES, Target, bodies, keys, targets

NAMES = list(bodies())


@pytest.fixture
def target(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    yield from targets(sqlite_url)


def rows(target: Target, table: str) -> list[Any]:
    with target.store.read() as tx:
        return list(tx.execute(select(getattr(schema, table))))


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_body_gets_its_4xx_and_a_row_without_it(target: Target, name: str) -> None:
    hostile = bodies()[name]
    status, answer = target.call(hostile.environ())
    assert status == hostile.status
    assert len(answer) < 64
    assert rows(target, "events") == []
    (row,) = rows(target, "refusals")
    assert (row.source, row.status, row.reason) == (hostile.source, hostile.status, hostile.reason)
    assert row.size <= len(hostile.body)
    text = repr(row).encode()
    pieces = {hostile.body[at : at + 16] for at in range(0, min(len(hostile.body), 400), 16)}
    assert not any(len(piece) == 16 and piece in text for piece in pieces)


def limit(source: str) -> int:
    return int(SOURCES[source].get("max_bytes", MIB))


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_it_takes_is_bounded_by_the_limit_of_its_source(target: Target, name: str) -> None:
    """The body as it came, as text, and once more as what the parser is at; and 4 MiB for everything else."""
    environ = bodies()[name].environ()
    tracemalloc.start()
    try:
        target.call(environ)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 3 * limit(bodies()[name].source) + 4 * MIB


@pytest.mark.parametrize(
    ("body", "most"),
    [
        *((b"[" * 25 * MIB, 1), (b'{"a":' * MIB, 1), (keys(1_000_000), 5), (b"[" + b'"":0,' * MIB, 3)),
        *((b"[" + b"1," * MIB, 8), (b"[" + b"[]," * MIB, 11), (b'"' * MIB, 8), (b'"' + b"x" * MIB, 9)),
    ],
    ids=range(8),
)
def test_the_scan_stops_at_the_limit(body: bytes, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`most` windows are looked at, of however many there are."""
    seen: list[int] = []
    feed = jsontext._Scan.feed

    def counted(scan: Any, window: bytes) -> None:
        seen.append(len(window))
        feed(scan, window)

    monkeypatch.setattr(jsontext._Scan, "feed", counted)
    with pytest.raises(jsontext.MalformedError):
        jsontext.decode_json(body)
    assert len(seen) <= most < len(body) / jsontext._WINDOW
    assert sum(seen) <= most * (jsontext._WINDOW + 1)


def test_a_declared_length_over_the_limit_is_refused_before_a_byte_is_read(target: Target) -> None:
    environ = bodies()["far over the limit"].environ()
    assert target.call(environ)[0] == 413
    assert environ["wsgi.input"].tell() == 0


def test_a_compressed_body_is_refused_before_a_byte_is_read(target: Target) -> None:
    environ = bodies()["a compressed bomb"].environ()
    assert target.call(environ)[0] == 415
    assert environ["wsgi.input"].tell() == 0


def test_a_body_without_a_length_is_read_to_the_limit_and_one_byte(target: Target) -> None:
    environ = bodies()["far over the limit"].environ()
    del environ["CONTENT_LENGTH"]
    environ["wsgi.input_terminated"] = True
    assert target.call(environ)[0] == 413
    assert environ["wsgi.input"].tell() == MIB + 1
