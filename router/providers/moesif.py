"""Moesif: update users, one or many a call.

API     https://www.moesif.com/docs/api#update-a-user  (read November 2026)
Hosts   api.moesif.net to write, api.moesif.com to read back (another credential)
Auth    `X-Moesif-Application-Id`; bearer management token to read
Limits  no rate is published, unusual volume may get 429; a batch stays below 250 KB (as the official client says)
Quirks  `metadata` is merged key by key, nested objects too; nothing clears a key, hence the trick of an empty text;
        any 2xx is success and its body means nothing, so an unframed empty 2xx cannot be told from a closed connection;
        a batch is accepted or refused as a whole; the address of a caller may become the person's place, so
        `ip_address` is sent only if a rule says so; a `session_token` is added to those known, never replaced
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from marshmallow import Schema

from router.errors import BuildError
from router.model import (
    BatchConversation,
    Call,
    Conversation,
    Delta,
    Instant,
    Outcome,
    OutcomeKind,
    ReadConversation,
    Reply,
)
from router.providers.accounts import SecretSetting
from router.providers.base import Abilities, Provider
from router.providers.bodies import Attributes, Members, Text
from router.providers.judge import Advice, success
from router.providers.render import Path, lay, lay_members, look, seconds_utc

COLLECTOR, MANAGEMENT = "api.moesif.net", "api.moesif.com"
_DOCS = "https://www.moesif.com/docs/api#errors"

#: names in `metadata` that Moesif understands: texts
RESERVED = frozenset({"email", "name", "first_name", "last_name", "phone", "photo_url"})
_CAMPAIGN = (
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "referrer",
    "referring_domain",
    "gclid",
)


def value_fault(name: str, value: Any) -> str:
    """Why a value of `metadata` is refused, as it goes on after its name, or nothing."""
    return "is text" if name in RESERVED and not isinstance(value, str) else ""


class Moesif(Provider):
    name = "moesif"
    label = "Moesif"
    abilities = Abilities(clear_tricks=("send-empty",), batch=100)
    own_names: ClassVar[Mapping[str, str]] = {"avatar": "photo_url"}
    into = ("metadata",)
    fixed_paths: ClassVar[Mapping[str, Path]] = {"company.id": ("company_id",)}
    docs_url = "https://www.moesif.com/docs/api#update-a-user"
    max_body_bytes = 250_000
    throttle_s = 1.0
    errors: ClassVar[Mapping[str, Advice]] = {
        "400": Advice("a parameter is wrong", "look at the reply; is modified_time a time?", url=_DOCS),
        "401": Advice("the application id is wrong", "check application_id (the collector's)", url=_DOCS),
        "402": Advice("the subscription is not active", "settle it with Moesif; the queue is kept", url=_DOCS),
        "403": Advice("the application id may not do this", "check application_id (the collector's)", url=_DOCS),
        "404": Advice("nothing is at this address", "check base_url of the destination", url=_DOCS),
        "413": Advice("too large", "send fewer or shorter values; a batch is halved by itself", url=_DOCS),
        "429": Advice("unusual volume", "set rate: for the destination", True, _DOCS),
    }

    class Account(Schema):
        application_id = SecretSetting(required=True)
        management_token = SecretSetting()

    class Body(Schema):
        user_id = Text(required=True)
        company_id = Text()
        session_token = Text()
        modified_time = Text()
        ip_address = Text()
        user_agent_string = Text()
        campaign = Members({name: Text() for name in _CAMPAIGN})
        metadata = Attributes(names=lambda name: "" if name else "takes no empty name", values=value_fault, deep=True)

    def fixed_places(self) -> Mapping[str, str]:
        return {**super().fixed_places(), "/user_id": "user", "/modified_time": "identity.time of the source"}

    # --- writing ------------------------------------------------------------------------------------------------

    def upsert(self, delta: Delta) -> Conversation:
        body = self._user(delta)
        return self.judge((yield self._call("/v1/users", body)))

    def upsert_many(self, deltas: Sequence[Delta]) -> BatchConversation:
        users: dict[int, dict[str, Any]] = {}
        outcomes: dict[int, Outcome] = {}
        for number, delta in enumerate(deltas):
            try:
                users[number] = self._user(delta)
            except BuildError as error:
                outcomes[number] = Outcome(OutcomeKind.REJECTED, str(error), applied_maybe=False)
        if users:
            batch = list(users.values())
            try:
                self.check_size(batch)
            except BuildError as error:
                whole = Outcome(OutcomeKind.REJECTED, str(error), applied_maybe=False)
            else:
                whole = self.judge((yield self._call("/v1/users/batch", batch)))
            outcomes.update(dict.fromkeys(users, whole))
        return [outcomes[number] for number in range(len(deltas))]

    def _user(self, delta: Delta) -> dict[str, Any]:
        body: dict[str, Any] = {"user_id": delta.profile}
        lay_members(body, self.placed(delta, cleared=""))
        tags = self.tag_list(delta.tags)
        if tags is not None:
            lay(body, (*self.into, str(self.name_of("tags"))), tags)
        if delta.occurred_us:
            body["modified_time"] = seconds_utc(Instant(delta.occurred_us))
        self.preflight(body, delta.profile)
        return body

    def _call(self, path: str, body: Any) -> Call:
        application = self.header(self.account["application_id"], "application_id")
        return Call("POST", self.url(COLLECTOR, path), body, auth={"X-Moesif-Application-Id": application})

    def example_reply(self, call: Call) -> Reply:
        return success({}, 201)

    # --- reading back -------------------------------------------------------------------------------------------

    def read(self, delta: Delta) -> ReadConversation:
        token = self.account.get("management_token")
        if token is None:
            return self.unreadable(delta, "no management_token")
        user = self.segment(delta.profile, "the profile id")
        reply = yield Call(
            "GET",
            self.url(MANAGEMENT, f"/v1/search/~/users/{user}"),
            auth={"Authorization": f"Bearer {self.header(token, 'management_token')}"},
            step="read",
            writes=False,
        )
        if reply.status == 404:
            return self.not_found(delta)
        if fault := self.read_fault(reply):
            return self.unreadable(delta, fault)
        document = look(reply.json(), ("_source",))
        if not isinstance(document, dict):
            return self.unreadable(delta, "the reply has no _source")
        return self.compared(delta, _with_token(document, delta))


def _with_token(document: dict[str, Any], delta: Delta) -> dict[str, Any]:
    """Session tokens come back as the list of all that are known: ours is there, or is not."""
    tokens, ours = document.get("session_token"), delta.held.get("send:/session_token")
    return {**document, "session_token": ours} if isinstance(tokens, list) and ours in tokens else document
