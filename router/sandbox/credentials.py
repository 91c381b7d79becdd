"""Values for the credentials of a sandbox: anybody can see that they are no secrets."""

from __future__ import annotations

import re

#: at least 16 bytes by itself, so that no check for short keys refuses it
PREFIX = "sandbox-not-a-secret"


def fake_credentials(kind: str, reference: str) -> str:
    """An obviously fake value for one secret reference, always the same for the same name.

    `reference` is the name of the variable or file, with or without `$env.` or `$file.`. The value has only lower-case
    letters, digits and hyphens, so it can stand in a URL, a header and an environment file.
    """
    name = re.sub(r"^\$(?:env|file)\.", "", reference).rpartition("/")[2]
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    if kind not in words:
        words.insert(0, kind)
    return "-".join([PREFIX, *words])
