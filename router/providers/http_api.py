"""Any JSON API: a method, a URL with the id in it, and a place for the traits.

API     what the destination says in `destinations.yaml`; see docs/providers/http.md
Auth    `auth`: bearer, basic or a header; references under `headers`
Limits  none known: set `rate`
Quirks  `{user}` is escaped as one segment, so an id can never lead to another path; any 2xx is success unless
        `success_if` says otherwise; clearing is a trick to choose (`send-null`, `send-empty`)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from marshmallow import INCLUDE, Schema, ValidationError, fields, validate

from router.addresses import is_loopback
from router.model import Call, Conversation, Delta, Instant, OpKind, Outcome, OutcomeKind, Reply
from router.providers.accounts import HeadersSetting, SecretSetting, TextSetting, UrlSetting
from router.providers.base import Abilities, Problem, Provider
from router.providers.judge import success, unreadable
from router.providers.render import Path, join_pointer, lay, lay_members, rendered, segment_fault
from router.settings import Secret

USER_HOLE = "{user}"
_A_URL = "is a URL such as https://crm.example.com/v2/people/{user}"
_URL = re.compile(r"[!-~]+")
_PATH = re.compile(r"[^.\s/]+(?:\.[^.\s/]+)*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[ -~]*")
#: a reference beside other text
_PART = re.compile(r"\$(?:env|file)\.")
#: headers that the connection needs, or that carry what no file may hold
_HEADERS_REFUSED = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "authorization",
        "proxy-authorization",
        "cookie",
        "idempotency-key",
        "router-attempt",
    }
)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url.replace(USER_HOLE, "u"))
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not _URL.fullmatch(url) or parts.username or parts.fragment:
        raise ValidationError(_A_URL)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValidationError("starts with https:// (http:// only to this machine)")
    if any(sign in url.replace(USER_HOLE, "") for sign in "{}"):
        raise ValidationError("has no hole but {user}")
    if f"${USER_HOLE}" in url:
        raise ValidationError("has {user}, without $ before it")
    if USER_HOLE in urlsplit(url).netloc:
        raise ValidationError("has {user} after the host only")
    if any(part in {".", ".."} for part in parts.path.split("/")):
        raise ValidationError("has no . or .. in its path")


def _check_headers(headers: Mapping[str, Any]) -> None:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValidationError("has a name that is not a header's")
        if name.lower() in _HEADERS_REFUSED:
            raise ValidationError(f"has {name}, which is set by auth or by the connection")
        if isinstance(value, Secret):
            continue
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise ValidationError("has a value that is not printable ASCII text")
        if _PART.search(value):
            raise ValidationError(f"has {name}, in which a reference is only a part: it is the whole value")


def _check_path(path: str) -> None:
    if not _PATH.fullmatch(path):
        raise ValidationError("is a place in the body, as in attributes or data.attributes")


def _check_predicate(value: Any) -> None:
    if not callable(value) and not isinstance(value, str):
        raise ValidationError("is an expression over the reply, as in .ok == true")


class _Basic(Schema):
    user = TextSetting(required=True)
    password = SecretSetting(required=True)


class _Header(Schema):
    name = fields.String(
        required=True, validate=validate.Regexp(_HEADER_NAME.pattern + r"\Z", error="is a header's name")
    )
    value = SecretSetting(required=True)


class _Auth(Schema):
    bearer = SecretSetting()
    basic = fields.Nested(_Basic)
    header = fields.Nested(_Header)


def _check_auth(auth: Mapping[str, Any]) -> None:
    if len(auth) != 1:
        raise ValidationError("is one of bearer, basic, header")


class _AnyBody(Schema):
    """No field is known beforehand."""

    class Meta:
        unknown = INCLUDE


class Http(Provider):
    name = "http"
    label = "HTTP"
    abilities = Abilities(clear_tricks=("send-null", "send-empty"), read=False)
    Body = _AnyBody

    class Account(Schema):
        method = fields.String(load_default="POST", validate=validate.OneOf(["POST", "PUT", "PATCH"]))
        url = UrlSetting(required=True, validate=_check_url)
        auth = fields.Nested(_Auth, validate=_check_auth)
        headers = HeadersSetting(load_default=dict, validate=_check_headers)
        into = fields.String(validate=_check_path)
        user_at = fields.String(validate=_check_path)
        times = fields.String(load_default="iso", validate=validate.OneOf(["iso", "epoch", "epoch_ms"]))
        success_if = fields.Raw(validate=_check_predicate)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.into = _keys(self.account.get("into"))
        self._user_at = _keys(self.account.get("user_at"))
        headers = self.account.get("headers", {}).items()
        self._headers = {name: value for name, value in headers if not isinstance(value, Secret)}
        self._secret_headers = {name: value for name, value in headers if isinstance(value, Secret)}

    def path_of(self, field_name: str, kind: OpKind = OpKind.SET) -> Path | None:
        if not self.into and not field_name.startswith("send:"):
            return None
        return super().path_of(field_name, kind)

    def fixed_places(self) -> Mapping[str, str]:
        places = dict(super().fixed_places())
        return {**places, join_pointer(self._user_at): "user"} if self._user_at else places

    def names_nobody(self) -> bool:
        return USER_HOLE not in self.account["url"] and not self._user_at

    def leaf_problem(self, pointer: Any, value: Any = ...) -> Problem | None:
        return None

    def id_problem(self, profile: str) -> Problem | None:
        fault = segment_fault(profile) if USER_HOLE in self.account["url"] else ""
        return Problem("reserved-name", f"the profile id {fault}, which cannot stand in a path") if fault else None

    def moment(self, instant: Instant) -> Any:
        times = self.account["times"]
        return super().moment(instant) if times == "iso" else instant.us // (1_000_000 if times == "epoch" else 1000)

    def value_of(self, field_name: str, value: Any) -> Any:
        return rendered(value, self.moment, keep_null=True)

    # --- writing ------------------------------------------------------------------------------------------------

    def upsert(self, delta: Delta) -> Conversation:
        body: dict[str, Any] = {}
        if self._user_at:
            lay(body, self._user_at, delta.profile)
        lay_members(body, self.placed(delta, cleared=None if self.options.clear == "send-null" else ""))
        tags, place = self.tag_list(delta.tags), self.path_of("tags")
        if tags is not None and place is not None:
            lay(body, place, tags)
        self.preflight(body, delta.profile)
        return self.verdict((yield self._call(delta.profile, body)))

    def _call(self, profile: str, body: dict[str, Any]) -> Call:
        url = self.account["url"]
        if USER_HOLE in url:
            url = url.replace(USER_HOLE, self.segment(profile, "the profile id"))
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        scheme = self.options.base_url or f"{parts.scheme}://{parts.netloc}"
        auth = {name: self.header(value, f"headers.{name}") for name, value in self._secret_headers.items()}
        return Call(self.account["method"], scheme.rstrip("/") + path, body, self._headers, {**auth, **self._auth()})

    def _auth(self) -> dict[str, str]:
        auth = self.account.get("auth", {})
        if "bearer" in auth:
            return {"Authorization": f"Bearer {self.header(auth['bearer'], 'auth.bearer')}"}
        if "basic" in auth:
            return self.basic(auth["basic"]["user"], auth["basic"]["password"])
        if "header" in auth:
            return {auth["header"]["name"]: self.header(auth["header"]["value"], "auth.header.value")}
        return {}

    # --- judging ------------------------------------------------------------------------------------------------

    def verdict(self, reply: Reply) -> Outcome:
        """What a reply means: status, then `success_if` over the JSON of a 2xx."""
        outcome = self.judge(reply)
        predicate = self.account.get("success_if")
        if predicate is None or outcome.kind is not OutcomeKind.DELIVERED:
            return outcome
        body = reply.json()
        answer = None if body is None else predicate(body)
        if answer is None:
            return unreadable(f"{reply.status}: success_if cannot tell from the body")
        return outcome if answer is True else Outcome(OutcomeKind.REJECTED, "success_if: the body says no")

    def example_reply(self, call: Call) -> Reply:
        return success({})


def _keys(path: str | None) -> Path:
    return tuple(path.split(".")) if path else ()
