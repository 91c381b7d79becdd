"""A composed webhook as a command line. Secrets that it shows stay references to the environment or to files."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from shlex import quote as shell
from urllib.parse import quote

from router.cli.webhooks import Signed
from router.errors import ConfigError
from router.settings import Secret

#: what does not survive being copied from a terminal
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")

#: a secret's text, and what stands for it in a shell
_Shown = tuple[str, str]


def curl(signed: Signed, url: str, secrets: Sequence[Secret]) -> str:
    """A command line for any POSIX shell that posts the same to `url`. Raises `SecretError`, and `ConfigError` where a
    secret would have to show."""
    shown = [(secret.reveal().strip(), _expression(secret)) for secret in secrets]
    if any(quote(text, safe="") != text and quote(text, safe="") in signed.query for text, _ in shown):
        raise ConfigError("the token has characters that a URL escapes: this can be posted, not printed")
    words = ["curl", "-X", "POST", _word(url + signed.query, shown)]
    for name, value in signed.headers.items():
        scheme, _, rest = value.partition(" ")
        if name.lower() == "authorization" and scheme == "Basic":
            words += ["-u", _word(base64.b64decode(rest).decode(), shown)]
        else:
            words += ["-H", _word(f"{name}: {value}", shown)]
    if not _CONTROL.search(signed.body):
        return " ".join([*words, "--data-raw", shell(signed.body.decode())])
    text = signed.body.decode().replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n")
    return " ".join([f"printf %b {shell(text)} |", *words, "--data-binary", "@-"])


def _expression(secret: Secret) -> str:
    kind, _, name = secret.reference.partition(".")
    return f'"${name}"' if kind == "$env" else f'"$(cat {shell(name)})"'


def _word(text: str, shown: Sequence[_Shown]) -> str:
    """The text quoted, with references where it holds secrets."""
    for secret, expression in shown:
        before, found, after = text.partition(secret) if secret else (text, "", "")
        if found:
            return "".join((shell(before) if before else "", expression, _word(after, shown) if after else ""))
    return shell(text)
