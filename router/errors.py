"""Every exception of the router.

```
RouterError            the message is safe to log and to show: no secret, body or profile in it
├── ConfigError        the operator's mistake: refuse to start, exit 2
│   ├── RuleErrors     every problem of a rules directory, in one exception
│   └── SecretError    a secret reference that cannot be resolved; names the variable or file
├── RuleError          one problem: file, line, column, code, and the nearest name as a hint
├── WebhookError       the sender's mistake; has .status
│   ├── UnknownSource  404
│   ├── SignatureError 401
│   │   └── BrokenVerification  a mistake of ours, counted by itself
│   ├── MalformedError 400
│   ├── TooLarge       413
│   └── UnsupportedMedia 415
├── StoreError         storage is away: 503, the sender tries again
│   └── LeaseLost      another worker took the lane over
├── UpstreamError      what verification needs (key set, certificate) is away: 503
│   └── UnknownCertificate  one that the request names and nobody has had yet
├── BuildError         cannot be expressed to this provider: rejected, and recorded
└── TransportError     no reply came; .sent says whether any byte went out
```
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


class RouterError(Exception):
    """The root. Its message holds no secret, body or profile."""


class ConfigError(RouterError):
    """The operator's mistake: refuse to start, exit 2."""


class SecretError(ConfigError):
    """A secret reference that cannot be resolved: unset, empty, a placeholder, or readable by others."""


@dataclass(frozen=True)
class RuleError(RouterError):
    """One problem in a rules directory.

    `line` and `column` count from 1, in characters; `length` is what the carets underline.
    """

    file: str
    line: int
    column: int
    length: int
    code: str
    message: str
    hint: str = ""
    #: `error` keeps the project from starting, `warning` does not
    severity: str = "error"

    def __str__(self) -> str:
        tail = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.severity}[{self.code}] {self.message}{tail}"


class RuleErrors(ConfigError):
    """A rules directory that was refused whole. `problems` holds errors and warnings, sorted by place."""

    #: where the files are, if somebody said so
    directory: Path | None = None

    def __init__(self, problems: list[RuleError]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


@contextmanager
def rules_in(directory: Path) -> Iterator[None]:
    """Rules that are refused in here say that they stand in this directory."""
    try:
        yield
    except RuleErrors as error:
        error.directory = directory
        raise


class WebhookError(RouterError):
    """The sender's mistake. `status` is the answer's; the message goes to the log, never to the sender."""

    status: ClassVar[int] = 400
    #: a stable word for refusals and metrics
    reason: ClassVar[str] = "webhook"


class UnknownSource(WebhookError):
    status = 404
    reason = "unknown-source"


class SignatureError(WebhookError):
    status = 401
    reason = "signature"


class BrokenVerification(SignatureError):
    """Verification ended in an exception that it does not know, which is the `__cause__`: refused, and ours to mend."""

    reason = "broken-verification"


class MalformedError(WebhookError):
    status = 400
    reason = "malformed"


class TooLarge(WebhookError):
    status = 413
    reason = "too-large"


class UnsupportedMedia(WebhookError):
    status = 415
    reason = "media-type"

    def __init__(self, message: str, wanted: str = "") -> None:
        """`wanted` is the media type that would be taken; empty if that was not the trouble."""
        super().__init__(message)
        self.wanted = wanted


class StoreError(RouterError):
    """Storage is away or too slow: 503, the sender tries again."""


class LeaseLost(StoreError):
    """Another worker took the lane over; what this one knows is discarded."""


class UpstreamError(RouterError):
    """A key set or certificate that verification needs cannot be had now: 503, never 401."""


class UnknownCertificate(UpstreamError):
    """A certificate that no request has had yet. The request names it, so a stranger may have made it up."""


class BuildError(RouterError):
    """The delta cannot be expressed to this provider: rejected, and recorded."""


class TransportError(RouterError):
    """No full reply came. `sent` says whether any byte of the request may have reached the peer."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent
