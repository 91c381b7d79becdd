"""`hmac`: one parameterised scheme for a keyed digest in a header. Most senders are a line of data for it."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import product
from typing import Any, ClassVar

from router.errors import ConfigError, SecretError, SignatureError
from router.model import Webhook
from router.sources.schemes.advice import likely_settings
from router.sources.schemes.base import (
    DIGITS,
    MIN_KEY_BYTES,
    AnySecret,
    Fetcher,
    Param,
    Problem,
    Proof,
    Scheme,
    as_list,
    check_age,
    header_bytes,
    meant,
    one_header,
)

_HOLES = ("body", "timestamp", "id", "method", "url")
_HOLE = re.compile(r"\{(" + "|".join(_HOLES) + r")\}")
#: the hint for a key that was meant as `ts_header`
_TS_HEADER = "did you mean 'ts_header'?"
_DOUBLED = re.compile(r"\{(\{[A-Za-z_][A-Za-z0-9_]*\})\}")
_BRACES = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")

#: ways to get a key from a secret
_OTHER_KEYS: Sequence[Mapping[str, Any]] = (
    {},
    {"encoding": "base64"},
    {"encoding": "hex"},
    {"strip": "whsec_", "encoding": "base64"},
)
#: what was read from the signature header: the timestamp in it, if one is, and the candidates
_Parsed = tuple[str, list[str]]


class Hmac(Scheme):
    """A digest over a template of the request, in one header, in one of four spellings."""

    name = "hmac"
    params: ClassVar[Mapping[str, Param]] = {
        "header": Param("header", required=True),
        "parse": Param(choices=("plain", "pairs", "positional", "versioned")),
        "prefix": Param("blank"),
        "pair_sep": Param(),
        "ts_key": Param(),
        "sig_key": Param(),
        "ts_header": Param("header"),
        "id_header": Param("header"),
        "ts_unit": Param(choices=("s", "ms")),
        "tolerance": Param("seconds"),
        "signed": Param(),
        "algorithm": Param(choices=("sha256", "sha1", "sha512")),
        "encoding": Param(choices=("hex", "base64")),
        "key": Param(
            "map",
            keys={
                "strip": Param("texts"),
                "split": Param(),
                "encoding": Param(choices=("utf8", "base64", "hex")),
            },
        ),
    }

    def __init__(self, definition: Mapping[str, Any], secrets: Sequence[AnySecret], url: str | None = None) -> None:
        super().__init__(definition, secrets, url)
        get = definition.get
        self._header = definition["header"].lower()
        self._parse = _PARSERS[get("parse", "plain")]
        self._prefix: str = get("prefix", "")
        self._joint: str = get("pair_sep", ",")
        self._separator = self._joint.strip() or self._joint
        self._ts_key: str = get("ts_key", "t")
        self._sig_key: str = get("sig_key", "v1")
        self._ts_header: str = get("ts_header", "").lower()
        self._id_header: str = get("id_header", "").lower()
        self._per_second = 1000 if get("ts_unit") == "ms" else 1
        self._tolerance_s: int = get("tolerance", 300)
        self._algorithm: str = get("algorithm", "sha256")
        self._hex = get("encoding", "hex") == "hex"
        self._derive = key_reader(get("key", {}))
        #: literal bytes and names of holes, in turn: the odd ones are names
        self._template = _HOLE.split(get("signed", "{body}"))
        self._literals = [part.encode() for part in self._template]
        names = self._template[1::2]
        self._timed = "timestamp" in names
        #: what no id may hold
        self._id_stop = _separator(self._template) or ""
        if "url" in names and url is None:
            raise ConfigError(f"{self._header} signs the public URL: give the source its url")

    @classmethod
    def problems(cls, definition: Mapping[str, Any]) -> Iterator[Problem]:
        """Also a time or id that is read but not signed, or signed but not read, and braces that are no hole."""
        yield from super().problems(definition)
        signed, parse = definition.get("signed", "{body}"), definition.get("parse", "plain")
        if not isinstance(signed, str):
            return
        names = set(_HOLE.findall(signed))
        if "body" not in names:
            yield ("signed",), "signed has no {body}: anybody could change it", ""
        unknown = [word for word in _BRACES.findall(signed) if word not in _HOLES]
        for word in unknown:
            known = ", ".join(f"{{{name}}}" for name in _HOLES)
            yield ("signed",), f"signed has no hole {{{word}}}: there are {known}", meant(word, _HOLES)
        if doubled := _DOUBLED.search(signed):
            yield ("signed",), f"{doubled[0]} would be signed with braces round it", f"write {doubled[1]}"
        timed = parse in {"pairs", "positional"} or "ts_header" in definition
        if "timestamp" in names and not (timed or any(meant(key, cls.params) == _TS_HEADER for key in definition)):
            yield ("signed",), "signed has {timestamp}, but nothing says where it is", "add ts_header"
        if "timestamp" not in names and "ts_header" in definition and not unknown:
            path = "signed" if "signed" in definition else "ts_header"
            yield (path,), "a timestamp that is not signed proves nothing", "add {timestamp} to signed"
        if "id" in names and "id_header" not in definition:
            yield ("signed",), "signed has {id}, but nothing says where it is", "add id_header"
        if _separator(_HOLE.split(signed)) is None:
            message = "nothing separates {id} from what is beside it: a part of the one could be moved to the other"
            yield ("signed",), message, "put text in between, as in {id}.{body}"

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """Every candidate is compared with every key, in constant time."""
        timestamp, event_id, candidates = self._read(webhook)
        if self._timed:
            check_age(timestamp, now, self._tolerance_s, self._per_second)
        if self._matching(self._text(webhook.body, timestamp, event_id, webhook.method), candidates) is None:
            raise SignatureError("no signature matches")

    def advice(self, webhook: Webhook, now: datetime) -> str:
        """The usual other ways to sign, or another unit of the time, or that only the time is wrong."""
        value = webhook.headers.get(self._header, "")
        event_id = webhook.headers.get(self._id_header, "")
        holes = {"body": webhook.body, "id": header_bytes(event_id), "method": webhook.method.encode()}
        holes["url"] = (self.url or "").encode()

        def fill(template: str, timestamp: str) -> bytes:
            parts, known = _HOLE.split(template), {**holes, "timestamp": timestamp.encode()}
            return b"".join(known[part] if place % 2 else part.encode() for place, part in enumerate(parts))

        keys = self.keys()
        settings = likely_settings(self.definition, value, webhook, keys, self._other_keys(keys), fill)
        if settings is None and self._is_near(webhook, now, 1000 if self._per_second == 1 else 1):
            unit = ("milliseconds", "ms") if self._per_second == 1 else ("seconds", "s")
            return f"the timestamp is in {unit[0]}: ts_unit: {unit[1]}"
        if settings == "" and self._timed and not self._is_near(webhook, now, self._per_second):
            return "the signature itself matches"
        return settings or ""

    def _is_near(self, webhook: Webhook, now: datetime, per_second: int) -> bool:
        """Whether the time of a request is near, in this unit."""
        try:
            check_age(self._read(webhook)[0], now, self._tolerance_s, per_second)
        except SignatureError:
            return False
        return True

    def _other_keys(self, known: Sequence[bytes]) -> Iterator[tuple[bytes, Mapping[str, Any]]]:
        """What the secrets would give as keys if they were read in other ways, and the setting for that."""
        texts = [secret.reveal().strip() for secret in self.secrets if not isinstance(secret, Mapping)]
        for text, setting in product(texts, _OTHER_KEYS):
            with suppress(SecretError):
                found = key_reader(setting)(text)
                yield from ((key, {"key": setting}) for key in found if key not in known and len(key) >= MIN_KEY_BYTES)

    def signing_key(self, webhook: Webhook) -> bytes | None:
        """The key whose digest is among the candidates."""
        timestamp, event_id, candidates = self._read(webhook)
        return self._matching(self._text(webhook.body, timestamp, event_id, webhook.method), candidates)

    def _read(self, webhook: Webhook) -> tuple[str, str, list[str]]:
        """Timestamp, id and candidates of a request."""
        value = webhook.headers.get(self._header)
        if not value:
            raise SignatureError(f"header {self._header} is missing")
        timestamp, candidates = self._parse(self, value)
        if self._ts_header:
            timestamp = one_header(webhook, self._ts_header)
        event_id = one_header(webhook, self._id_header) if self._id_header else ""
        if self._id_stop and self._id_stop in event_id:
            raise SignatureError(f"header {self._id_header} has what separates it from the next part")
        return timestamp, event_id, candidates

    def _matching(self, text: bytes, candidates: Sequence[str]) -> bytes | None:
        received = [header_bytes(candidate) for candidate in candidates]
        found = None
        for key in self.keys():
            expected = self._digest(key, text)
            for candidate in received:
                if hmac.compare_digest(expected, candidate):
                    found = key
        return found

    def sign(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> dict[str, str]:
        """As the sender would, with the first secret."""
        timestamp = str(int(now.timestamp() * self._per_second))
        digest = self._digest(self.keys()[0], self._text(body, timestamp, event_id, method)).decode()
        parse = self.definition.get("parse", "plain")
        value = {
            "plain": f"{self._prefix}{digest}",
            "pairs": f"{self._ts_key}={timestamp}{self._joint}{self._sig_key}={digest}",
            "positional": f"{timestamp},{digest}",
            "versioned": f"{self._sig_key},{digest}",
        }[parse]
        headers = {self._header: value}
        if self._ts_header:
            headers[self._ts_header] = timestamp
        if self._id_header:
            headers[self._id_header] = event_id
        return headers

    def prove(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> Proof:
        """As `sign`; refuses an id that would make the signed text ambiguous."""
        if self._id_stop and self._id_stop in event_id:
            raise ConfigError(f"the id has {self._id_stop!r}, which separates it from the next part of the signed text")
        return super().prove(body, now=now, event_id=event_id, method=method)

    @property
    def covers(self) -> frozenset[str]:
        return frozenset({"signature", "body", "time"} if self._timed else {"signature", "body"})

    @property
    def text(self) -> str:
        return f"hmac-{self._algorithm} in {self._header}"

    def derive(self, text: str) -> list[bytes]:
        return self._derive(text)

    def _digest(self, key: bytes, text: bytes) -> bytes:
        digest = hmac.digest(key, text, self._algorithm)
        return digest.hex().encode() if self._hex else base64.b64encode(digest)

    def _text(self, body: bytes, timestamp: str, event_id: str, method: str) -> bytes:
        parts = list(self._literals)
        for place in range(1, len(parts), 2):
            name = self._template[place]
            if name == "body":
                parts[place] = body
            elif name == "timestamp":
                parts[place] = timestamp.encode()
            elif name == "id":
                parts[place] = header_bytes(event_id)
            else:
                parts[place] = (method if name == "method" else self.url or "").encode()
        return b"".join(parts)

    # --- the four spellings of the header -----------------------------------------------------------------------

    def _plain(self, value: str) -> _Parsed:
        if not value.startswith(self._prefix):
            raise SignatureError(f"the signature does not start with {self._prefix}")
        return "", [value[len(self._prefix) :]]

    def _pairs(self, value: str) -> _Parsed:
        if self._separator != "," and "," in value:
            raise SignatureError("the signature header came twice")
        stamps, candidates = [], []
        for entry in value.split(self._separator):
            key, _, text = entry.strip(" ").partition("=")
            if key == self._ts_key:
                stamps.append(text)
            elif key == self._sig_key:
                candidates.append(text)
        if self._timed and len(stamps) != 1:
            raise SignatureError("the signature has no timestamp, or several")
        return "".join(stamps), candidates

    def _positional(self, value: str) -> _Parsed:
        stamp, *candidates = value.split(",")
        if any(DIGITS.fullmatch(candidate) for candidate in candidates):
            raise SignatureError("the signature has several timestamps")
        return stamp, candidates

    def _versioned(self, value: str) -> _Parsed:
        return "", versioned(value, self._sig_key)


_PARSERS: Mapping[str, Callable[[Hmac, str], _Parsed]] = {
    "plain": Hmac._plain,
    "pairs": Hmac._pairs,
    "positional": Hmac._positional,
    "versioned": Hmac._versioned,
}


def _separator(template: Sequence[str]) -> str | None:
    """The character behind `{id}`, empty if it comes last. None: nothing separates it from its neighbour."""
    if "id" not in template[1::2]:
        return ""
    place = 1 + 2 * template[1::2].index("id")
    if place + 2 == len(template) and not template[place + 1]:
        return "" if template[place - 1] else None
    return template[place + 1][:1] or None


def versioned(value: str, label: str) -> list[str]:
    """The signatures with `label` in `v1,sig v1a,sig …`. Other labels are never taken for it."""
    entries = (entry.partition(",") for entry in value.split(" "))
    return [text for name, _, text in entries if name == label]


def key_reader(settings: Mapping[str, Any]) -> Callable[[str], list[bytes]]:
    """From a secret's text to its keys: prefixes stripped, then decoded. Raises `SecretError`, never with the text."""
    prefixes = [str(prefix) for prefix in as_list(settings.get("strip"))]
    separator = settings.get("split")
    decode = _DECODERS[settings.get("encoding", "utf8")]

    def read(text: str) -> list[bytes]:
        keys = []
        for part in text.split(separator) if separator else [text]:
            for prefix in prefixes:
                part = part.removeprefix(prefix)
            try:
                keys.append(decode(part))
            except ValueError:
                raise SecretError(f"a webhook secret is not {settings['encoding']} text") from None
        return keys

    return read


def decode_base64(text: str) -> bytes:
    """Strict base64, with or without padding. Raises `ValueError`."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


_DECODERS: Mapping[str, Callable[[str], bytes]] = {
    "utf8": lambda text: text.encode(),
    "base64": decode_base64,
    "hex": bytes.fromhex,
}
