"""Log lines: one line, bounded, and of strangers' exceptions only what cannot quote anybody."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from router.errors import StoreError
from router.logs import MAX_LINE, JsonFormatter, NoEcho


def line(message: Any, *args: Any, error: BaseException | None = None) -> str:
    info = None
    if error is not None:
        try:
            raise error
        except type(error):
            info = sys.exc_info()
    return JsonFormatter().format(logging.LogRecord("router", logging.WARNING, "x.py", 1, message, args, info))


@pytest.mark.parametrize("text", ['\n{"level":"x"}', "\x1b[31m", "\u2028", "\0", "\x7f", "\ud800", "\r\n", "é"])
def test_a_message_is_one_line_of_plain_ascii(text: str) -> None:
    written = line("said %s", text)
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written)["message"] == f"said {text}"


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\0" * 100_000, "é" * 5_000])
def test_a_line_is_bounded_and_still_json(text: str) -> None:
    written = line(text)
    assert len(written) < MAX_LINE
    assert json.loads(written)["level"] == "warning"


def test_of_a_strangers_exception_only_class_and_places_show() -> None:
    written = line("broke", error=KeyError("canary"))
    assert "canary" not in written
    out = json.loads(written)
    assert out["error"] == "KeyError"
    assert "test_logs.py" in out["frames"][0]


def test_our_own_exceptions_show_their_message() -> None:
    assert json.loads(line("broke", error=StoreError("the store is away")))["error"] == "StoreError: the store is away"


def test_a_deep_trace_is_bounded() -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError

    try:
        deep(500)
    except ValueError:
        record = logging.LogRecord("router", logging.ERROR, "x.py", 1, "broke", (), sys.exc_info())
    assert len(JsonFormatter().format(record)) < MAX_LINE


def test_gunicorns_line_about_an_invalid_request_quotes_nothing() -> None:
    record = logging.LogRecord(
        "gunicorn.error",
        logging.WARNING,
        "x.py",
        1,
        "Invalid request from ip=1.2.3.4: Invalid HTTP Header: 'canary'",
        (),
        None,
    )
    assert NoEcho().filter(record)
    assert record.getMessage() == "Invalid request from ip=1.2.3.4"
