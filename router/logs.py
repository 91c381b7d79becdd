"""Logs as JSON, one object a line, at most 4 KB; control characters are escaped, and of a stranger's exception only the
class and the places show: its message may quote a body, a header or a secret."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

from router.errors import RouterError

#: bytes, line break included
MAX_LINE = 4096
_MAX_FRAMES = 12


class JsonFormatter(logging.Formatter):
    """`{"at": …, "level": …, "logger": …, "message": …}`, and of an exception `error` and `frames`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of ASCII, without its line break."""
        out: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            out |= _described(record.exc_info[1])
        line = _line(out)
        while len(line) >= MAX_LINE:
            longest = max(out, key=lambda key: len(_line(out[key])))
            out[longest] = out[longest][: len(out[longest]) // 2]
            line = _line(out)
        return line


class NoEcho(logging.Filter):
    """Takes from gunicorn's line about an invalid request what it quotes of the request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true."""
        if isinstance(record.msg, str) and record.msg.startswith("Invalid request from"):
            record.msg, record.args = record.msg.split(": ")[0], ()
        return True


def logging_config(level: str = "WARNING") -> dict[str, Any]:
    """For `logging.config.dictConfig` and gunicorn's `logconfig_dict`: everything to stderr, as JSON."""
    gunicorn = {"level": "INFO", "handlers": ["stderr"], "propagate": False, "filters": ["no_echo"]}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "filters": {"no_echo": {"()": NoEcho}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {"gunicorn.error": gunicorn, "gunicorn.access": {**gunicorn, "level": "WARNING"}},
    }


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=str).replace("\x7f", "\\u007f")


def _described(error: BaseException) -> dict[str, Any]:
    kind = type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    return {
        "error": f"{kind}: {error}" if isinstance(error, RouterError) else kind,
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
