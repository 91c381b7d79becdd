"""What the operator could set where an HMAC is refused: the usual other ways to sign are tried, to name a setting in
the log. Nothing is believed for it, and the sender is told nothing."""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from router.model import Webhook

#: bytes of a body that is tried, and digests that are made
MAX_BODY, MAX_TRIES = 65_536, 64
#: parts of a header that are looked at, and times that may be signed
_MAX_PARTS, _MAX_TIMES = 8, 3
_ALGORITHMS = {20: "sha1", 32: "sha256", 64: "sha512"}
_PARTS = re.compile(r"[,; ]+")
_LABELLED = re.compile(r"([A-Za-z0-9_-]{1,12}[=:])(.+)")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128})")
_TIME = re.compile(r"[0-9]{10}(?:[0-9]{3})?")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
#: what senders sign
_SIGNED = ("{body}", "{timestamp}.{body}", "{timestamp}:{body}", "{timestamp}{body}", "v0:{timestamp}:{body}")
_WITH_ID = ("{id}.{timestamp}.{body}",)
#: what a definition says that does not say it
_DEFAULTS: Mapping[str, Any] = {
    "parse": "plain", "prefix": "", "pair_sep": ",", "sig_key": "v1", "ts_key": "t", "ts_header": "", "ts_unit": "s",
    "signed": "{body}", "algorithm": "sha256", "encoding": "hex", "key": {},
}  # fmt: skip
_CAPITALS = "hex in capitals is not taken"
_ODD_BASE64 = "base64 without padding, or with - and _, is not taken"

#: settings of `verify`
Settings = Mapping[str, Any]


class Candidate(NamedTuple):
    """What may be a digest in a header."""

    digest: bytes
    settings: Settings
    #: why it is not taken, however it is configured; or empty
    fault: str


class Stamp(NamedTuple):
    """What may be the time that is signed."""

    text: str
    settings: Settings


def likely_settings(
    definition: Settings,
    value: str,
    webhook: Webhook,
    keys: Sequence[bytes],
    other_keys: Iterable[tuple[bytes, Settings]],
    fill: Callable[[str, str], bytes],
) -> str | None:
    """With what the request would match, as in `it would match with encoding: base64`; empty if it does already, None
    if nothing was found. `value` is the signature's header, `fill` makes the signed text of a template and a time.

    All is tried in any case: how long it takes tells nothing of what matched.
    """
    candidates = list(_candidates(value))
    texts = list(_texts(definition, list(_stamps(value, webhook, definition)), fill))
    tries = [(key, text, settings) for text, settings in texts for key in keys]
    tries += [(key, text, {**settings, **own}) for key, own in other_keys for text, settings in texts[:2]]
    sizes = {len(candidate.digest) for candidate in candidates}
    found: str | None = None
    for key, text, settings, size in [(*each, size) for each in tries for size in sizes][:MAX_TRIES]:
        digest = hmac.digest(key, text, _ALGORITHMS[size])
        for candidate in candidates:
            if hmac.compare_digest(digest, candidate.digest) and found is None:
                all_settings = {**candidate.settings, **settings, "algorithm": _ALGORITHMS[size]}
                found = _told(definition, all_settings, candidate.fault)
    return found


# --- what is tried ----------------------------------------------------------------------------------------------------


def _parts(value: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Label and text of each part of a header, and how the header is parsed to have it as the signature."""
    parts = _PARTS.split(value.strip())[:_MAX_PARTS]
    for part in parts:
        found = _LABELLED.fullmatch(part)
        label, text = (found[1], found[2]) if found else ("", part)
        if len(parts) == 1:
            form = {"parse": "plain", "prefix": label}
        elif label:
            form = {"parse": "pairs", "pair_sep": ";" if ";" in value else ",", "sig_key": label[:-1]}
        elif _TIME.fullmatch(parts[0]):
            form = {"parse": "positional"}
        else:
            form = {"parse": "versioned", "sig_key": parts[0]}
        yield label, text, form


def _candidates(value: str) -> Iterator[Candidate]:
    for _, text, form in _parts(value):
        digest = _digest(text)
        if digest is not None:
            raw, encoding, fault = digest
            yield Candidate(raw, {**form, "encoding": encoding}, fault)


def _stamps(value: str, webhook: Webhook, definition: Settings) -> Iterator[Stamp]:
    """Times in the header, in the one that is configured, and in others."""
    configured = _lower(definition.get("ts_header", ""))
    names = [configured, *sorted(webhook.headers.keys() - {configured})]
    stamps = [(text, {"ts_key": label[:-1]} if label else {}) for label, text, _ in _parts(value)]
    stamps += [(webhook.headers.get(name, ""), {"ts_header": name}) for name in names]
    for text, settings in [each for each in stamps if _TIME.fullmatch(each[0])][:_MAX_TIMES]:
        yield Stamp(text, {**settings, "ts_unit": "ms" if len(text) == 13 else "s"})


def _digest(text: str) -> tuple[bytes, str, str] | None:
    """The bytes, their encoding, and what is wrong with how they are written."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(text), "hex", "" if text == text.lower() else _CAPITALS
    try:
        raw = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None
    if len(raw) not in _ALGORITHMS:
        return None
    return raw, "base64", "" if base64.b64encode(raw).decode() == text else _ODD_BASE64


def _texts(
    definition: Settings, stamps: Sequence[Stamp], fill: Callable[[str, str], bytes]
) -> Iterator[tuple[bytes, Settings]]:
    """What may have been signed, the configured text first, then the body alone."""
    configured = definition.get("signed", "{body}")
    usual = (*_SIGNED, *(_WITH_ID if "id_header" in definition else ()))
    for template in dict.fromkeys((configured, *usual)):
        if "{timestamp}" not in template:
            yield fill(template, ""), {"signed": template}
            continue
        for stamp in stamps:
            yield fill(template, stamp.text), {**stamp.settings, "signed": template}


# --- what is told -----------------------------------------------------------------------------------------------------


def _told(definition: Settings, found: Settings, fault: str) -> str:
    configured = {name: definition.get(name, value) for name, value in _DEFAULTS.items()}
    configured |= {"ts_header": _lower(configured["ts_header"]), "pair_sep": configured["pair_sep"].strip()}
    told = [f"{name}: {_written(value)}" for name, value in found.items() if value != configured[name]]
    if configured["ts_header"] and "ts_header" not in found:
        told.append("no ts_header")
    words = [f"it would match with {', '.join(told)}"] if told else []
    if fault:
        words.append(f"the digest is right, but {fault}")
    return "; ".join(words)


def _lower(name: Any) -> str:
    return str(name).lower()


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_written(each)}" for name, each in value.items()) + "}"
    return value if _PLAIN.fullmatch(value) else json.dumps(value)
