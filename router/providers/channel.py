"""Channel.io (Channel Talk): create or patch a user by our own id.

API     https://developers.channel.io/docs/upsert-a-user-by-memberid (v4, deprecated, still served)
        https://developers.channel.io/docs/upsert-a-user-by-memberid-1 (v5)  (read November 2026)
Host    api.channel.io
Auth    `x-access-key` and `x-access-secret`, one pair per channel
Limits  token bucket per channel, shared with its other integrations: `x-ratelimit-*`, reset as epoch seconds;
        tags 10 (v4), 20 (v5); no size is published, 100 KB is ours
Quirks  a literal `@` goes before the id, which is escaped; `tags` replaces all; a call without effect still counts
        towards the monthly active users; that null clears a key is not documented, hence a trick to choose;
        v4 has `unsubscribed`, which stops every channel, so it is true only if both consents are no;
        no error is documented: statuses alone decide
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import Schema, fields, validate

from router.model import (
    Call,
    Conversation,
    Delta,
    OpKind,
    Outcome,
    OutcomeKind,
    ReadConversation,
    Reply,
)
from router.providers.accounts import SecretSetting
from router.providers.base import Abilities, Problem, Provider
from router.providers.bodies import Attributes, Flag, Text, Texts, is_number, schema_of
from router.providers.judge import Advice, success, told_wait, unreadable
from router.providers.render import Path, lay_members, look, segment_fault

HOST = "api.channel.io"
_DOCS = "https://developers.channel.io/docs/upsert-a-user-by-memberid-1"

MAX_TAGS = {"v4": 10, "v5": 20}

_TEXTS = frozenset({"name", "email", "mobileNumber", "landlineNumber", "avatarUrl", "firstName", "lastName"})
_NUMBERS = frozenset({"recentPurchaseCount", "recentPurchaseAmount"})


def name_fault(name: str) -> str:
    """Why a key of the profile is refused, as it goes on after the provider's name, or nothing."""
    if name == "empty":
        return "works out 'empty' itself"
    return "" if name else "takes no empty name"


def value_fault(name: str, value: Any) -> str:
    """Why a value of the profile is refused, as it goes on after its name, or nothing."""
    if value is None or (isinstance(value, str) and name not in _NUMBERS):
        return ""
    if name in _TEXTS:
        return "is text"
    if name == "recentPurchaseCount":
        return "" if type(value) is int and -(2**31) <= value < 2**31 else "is a whole number of 32 bits"
    if name == "recentPurchaseAmount":
        return "" if is_number(value) else "is a number"
    scalars = value if isinstance(value, list) else [value]
    good = all(isinstance(item, (str, bool, int, float)) for item in scalars)
    return "" if good else "is text, a number, yes/no or a list of these"


class _Upsert(Schema):
    profile = Attributes(names=name_fault, values=value_fault, odd=_NUMBERS, deep=False)
    profileOnce = Attributes(names=name_fault, values=value_fault, odd=_NUMBERS, deep=False)
    unsubscribeEmail = Flag()
    unsubscribeTexting = Flag()
    language = Text()


class _UpsertV4(_Upsert):
    tags = Texts(most=MAX_TAGS["v4"])
    unsubscribed = Flag()


class _UpsertV5(_Upsert):
    tags = Texts(most=MAX_TAGS["v5"])
    blocked = Flag()


class Channel(Provider):
    name = "channel"
    label = "Channel.io"
    abilities = Abilities(once=True, clear_tricks=("send-null",), consent=frozenset({"email", "sms"}))
    own_names: ClassVar[Mapping[str, str]] = {
        "phone": "mobileNumber",
        "avatar": "avatarUrl",
        "first_name": "firstName",
        "last_name": "lastName",
        "company.id": "companyId",
        "company.name": "companyName",
    }
    into = ("profile",)
    fixed_paths: ClassVar[Mapping[str, Path]] = {
        "tags": ("tags",),
        "consent.email": ("unsubscribeEmail",),
        "consent.sms": ("unsubscribeTexting",),
    }
    inverted = frozenset({"consent.email", "consent.sms"})
    statuses: ClassVar[Mapping[int, OutcomeKind]] = {405: OutcomeKind.DENIED, 409: OutcomeKind.RETRY}
    docs_url = _DOCS
    max_body_bytes = 102_400
    default_rate = "20/s"
    throttle_s = 5.0
    errors: ClassVar[Mapping[str, Advice]] = {
        "400": Advice("the content is not accepted", "look at the reply; count the tags", url=_DOCS),
        "401": Advice("key or secret is wrong", "check key and secret of the destination", url=_DOCS),
        "404": Advice("nothing is at this address", "check api_version and base_url of the destination", url=_DOCS),
        "409": Advice("somebody else changes this user now", retry=True, url=_DOCS),
        "429": Advice("the channel's tokens are used up", "lower rate:, other programs share them", True, _DOCS),
        "memberId": Advice("the answer is about another user", "compare the id with the one in Channel.io", url=_DOCS),
    }
    Body = _UpsertV5

    class Account(Schema):
        key = SecretSetting(required=True)
        secret = SecretSetting(required=True)
        api_version = fields.String(load_default="v4", validate=validate.OneOf(["v4", "v5"]))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._version = self.account["api_version"]
        self._body = schema_of(_UpsertV4 if self._version == "v4" else _UpsertV5)

    def path_of(self, field_name: str, kind: OpKind = OpKind.SET) -> Path | None:
        path = super().path_of(field_name, kind)
        if kind is OpKind.ONCE and path is not None and path[0] == "profile":
            return ("profileOnce", *path[1:])
        return path

    def fixed_places(self) -> Mapping[str, str]:
        places = super().fixed_places()
        return {**places, "/unsubscribed": "consent.email and consent.sms"} if self._version == "v4" else places

    def name_problem(self, name: str) -> Problem | None:
        fault = name_fault(name)
        return Problem("reserved-name", f"{self.name} {fault}") if fault else None

    def id_problem(self, profile: str) -> Problem | None:
        fault = segment_fault(profile)
        return Problem("reserved-name", f"the profile id {fault}, which cannot stand in a path") if fault else None

    # --- writing ------------------------------------------------------------------------------------------------

    def upsert(self, delta: Delta) -> Conversation:
        body: dict[str, Any] = {}
        lay_members(body, self.placed(delta, cleared=None))
        tags = self.tag_list(delta.tags)
        if tags is not None:
            body["tags"] = tags
        if self._version == "v4" and not delta.fields.keys().isdisjoint(("consent.email", "consent.sms")):
            held = {**delta.held, **{name: op.value for name, op in delta.fields.items()}}
            body["unsubscribed"] = held.get("consent.email") is False and held.get("consent.sms") is False
        self.preflight(body, delta.profile)
        return self.verdict((yield self._call("PUT", delta.profile, body)), delta.profile)

    def _call(self, method: str, profile: str, body: dict[str, Any] | None, step: str = "upsert") -> Call:
        member = self.segment(profile, "the profile id")
        auth = {
            "x-access-key": self.header(self.account["key"], "key"),
            "x-access-secret": self.header(self.account["secret"], "secret"),
        }
        url = self.url(HOST, f"/open/{self._version}/users/@{member}")
        return Call(method, url, body, auth=auth, step=step, writes=step != "read")

    # --- judging ------------------------------------------------------------------------------------------------

    def verdict(self, reply: Reply, profile: str) -> Outcome:
        """What a reply to a write means: status, then the stored user in the body."""
        outcome = self.judge(reply)
        if outcome.kind is not OutcomeKind.DELIVERED:
            return outcome
        user = look(reply.json(), ("user",))
        if not isinstance(user, dict):
            return unreadable(f"{reply.status}: the body has no user")
        if user.get("memberId", profile) != profile:
            return Outcome(OutcomeKind.REJECTED, f"memberId: {self.errors['memberId'].meaning}")
        if "x-ratelimit-will-be-throttled" in reply.headers:
            wait = told_wait(reply)
            told = self.throttle_s if wait is None else wait.seconds
            return Outcome(OutcomeKind.DELIVERED, "the channel's tokens are nearly used up", wait_s=told)
        return outcome

    def example_reply(self, call: Call) -> Reply:
        body = call.body or {}
        user = {"id": "66f0a1b2c3d4e5f60718", "channelId": "1", "profile": body.get("profile", {})}
        return success({"user": {**user, "tags": body.get("tags", [])}})

    # --- reading back -------------------------------------------------------------------------------------------

    def read(self, delta: Delta) -> ReadConversation:
        reply = yield self._call("GET", delta.profile, None, "read")
        if reply.status == 404:
            return self.not_found(delta)
        if fault := self.read_fault(reply):
            return self.unreadable(delta, fault)
        user = look(reply.json(), ("user",))
        if not isinstance(user, dict):
            return self.unreadable(delta, "the reply has no user")
        return self.compared(delta, user)
