"""MoEngage: add or update a customer.

API     https://www.moengage.com/docs/api/user/track-user  (read November 2026)
Hosts   `api-01` … `api-06` and `api-101` under moengage.com; data and keys belong to one of them
Auth    Basic, workspace id : *Data* API key; `MOE-APPKEY` (older pages want it) repeats the workspace id
Limits  10,000 users a minute; body 100 KB (one page says 128); 512 characters a text, longer is cut; lists ≤ 50
Quirks  200 means accepted, and only if the body says `status: success`; a text that looks like a date becomes one;
        add and remove of one array in one call is an error, so both at once are two calls;
        `unset_attributes` stands only in older pages, hence a trick that a destination must choose;
        `platforms` goes inside `attributes` (every sample, against the schema of the same page);
        X-Forwarded-For is left out on purpose: the router's caller is a program, not the person
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from router.errors import BuildError
from router.model import Call, Conversation, Delta, Outcome, OutcomeKind, ReadConversation, Reply
from router.providers.accounts import FlagSetting, SecretSetting, TextSetting
from router.providers.base import Abilities, Problem, Provider
from router.providers.bodies import Attributes, Flag, Objects, Text
from router.providers.judge import Advice, after_write, success, throttled, told_wait, unreadable
from router.providers.moengage_rules import (
    ADD,
    MAX_TEXT_CHARS,
    PLATFORMS,
    REMOVE,
    cut,
    id_fault,
    name_fault,
    value_fault,
)
from router.providers.render import Path, lay, lay_members, look

DATA_CENTRES = (1, 2, 3, 4, 5, 6, 101)
_DOCS = "https://www.moengage.com/docs/api/user/track-user"

#: in place of a value: the attribute is cleared
_CLEARED: Final = object()


class MoEngage(Provider):
    name = "moengage"
    label = "MoEngage"
    abilities = Abilities(clear_tricks=("unset_attributes",), tags_edit=True)
    own_names: ClassVar[Mapping[str, str]] = {
        "phone": "mobile",
        "created_at": "created_time",
        "last_seen_at": "last_seen",
    }
    into = ("attributes",)
    fixed_paths: ClassVar[Mapping[str, Path]] = {
        "consent.email": ("attributes", "moe_unsubscribe"),
        "consent.sms": ("attributes", "moe_sms_subscription"),
        "consent.push": ("attributes", "push_preference"),
    }
    inverted = frozenset({"consent.email"})
    statuses: ClassVar[Mapping[int, OutcomeKind]] = {409: OutcomeKind.DENIED}
    docs_url = _DOCS
    max_body_bytes = 102_400
    default_rate = "10000/m"
    throttle_s = 60.0
    errors: ClassVar[Mapping[str, Advice]] = {
        "MissingAttributeError": Advice(
            "a required value is missing or has the wrong type", "look at the call", url=_DOCS
        ),
        "ArrayFieldError": Advice("add and remove for one array in one call", "send them apart", url=_DOCS),
        "ParamsRequired": Advice("a parameter is missing", "check the workspace of the destination", url=_DOCS),
        "InvalidParams": Advice("a parameter is wrong", "check the workspace of the destination", url=_DOCS),
        "Blacklisted": Advice(
            "the attribute or user is blacklisted", "rename the attribute, or ask MoEngage", url=_DOCS
        ),
        "BlockedClient": Advice("the account is suspended", "ask MoEngage; the queue is kept", url=_DOCS),
        "PayloadTooLarge": Advice("the body is too large", "send fewer or shorter values", url=_DOCS),
        "RateLimitError": Advice("too many updates", "lower rate: of the destination", retry=True, url=_DOCS),
        "ServerError": Advice("MoEngage failed", retry=True, url=_DOCS),
        "401": Advice(
            "workspace, key or data centre is wrong", "check dc, workspace and key (the Data key)", url=_DOCS
        ),
        "403": Advice("the account is suspended", "ask MoEngage; the queue is kept", url=_DOCS),
        "409": Advice(
            "the workspace has no key, or the path names another one", "set a Data key in MoEngage", url=_DOCS
        ),
        "fail": Advice("MoEngage says fail", "look at the reply", url=_DOCS),
    }

    class Account(Schema):
        dc = fields.Integer(required=True, strict=True, validate=validate.OneOf(DATA_CENTRES))
        workspace = TextSetting(required=True)
        key = SecretSetting(required=True)
        project_code = TextSetting()
        update_existing_only = FlagSetting(load_default=False)
        identity_resolution = FlagSetting(load_default=False)

        @validates_schema
        def check_portfolio(self, data: Mapping[str, Any], **_kwargs: Any) -> None:
            if data.get("identity_resolution") and "project_code" in data:
                raise ValidationError("cannot stand beside identity_resolution", "project_code")

    class Body(Schema):
        type = Text(required=True, only="customer")
        customer_id = Text()
        update_existing_only = Flag()
        attributes = Attributes(
            names=name_fault,
            values=value_fault,
            deep=True,
            text_chars=MAX_TEXT_CHARS,
            odd=frozenset({PLATFORMS}),
            required=True,
        )
        unset_attributes = Objects()

    def fixed_places(self) -> Mapping[str, str]:
        tags = self.name_of("tags")
        return {
            **super().fixed_places(),
            f"/attributes/{ADD}/{tags}": "tags",
            f"/attributes/{REMOVE}/{tags}": "tags",
            "/type": "",
            "/customer_id": "user",
            "/update_existing_only": "update_existing_only in destinations.yaml",
            "/unset_attributes": "unset",
        }

    def name_problem(self, name: str) -> Problem | None:
        fault = f"reserves the name '{name}'" if name in {"source", PLATFORMS, ADD, REMOVE} else name_fault(name)
        return Problem("reserved-name", f"{self.name} {fault}") if fault else None

    def id_problem(self, profile: str) -> Problem | None:
        if self.account["identity_resolution"]:
            return None
        fault = id_fault(profile)
        return Problem("reserved-name", f"{self.name} {fault}") if fault else None

    # --- writing ------------------------------------------------------------------------------------------------

    def upsert(self, delta: Delta) -> Conversation:
        bodies, note = self._bodies(delta)
        for body in bodies.values():
            self.preflight(body, delta.profile)
        wrote = False
        for step, body in bodies.items():
            outcome = self.verdict((yield self._call(body, step)))
            if outcome.kind is not OutcomeKind.DELIVERED:
                return after_write(outcome) if wrote else outcome
            wrote = True
        return Outcome(OutcomeKind.DELIVERED, note)

    def _bodies(self, delta: Delta) -> tuple[dict[str, dict[str, Any]], str]:
        """The body of each step, and what was cut."""
        head: dict[str, Any] = {"type": "customer"}
        identifiers: dict[str, Any] = {}
        if self.account["identity_resolution"]:
            identifiers = self._identifiers(delta)
        else:
            head["customer_id"] = delta.profile
        if self.account["update_existing_only"]:
            head["update_existing_only"] = True
        attributes = dict(identifiers)
        body = {**head, "attributes": attributes}
        placed = self.placed(delta, cleared=_CLEARED)
        cleared = _take_cleared(placed)
        lay_members(body, placed)
        if cleared:
            body["unset_attributes"] = cleared
        note = cut(attributes)
        bodies = {"upsert": body}
        if (tags := delta.tags) is not None:
            name = str(self.name_of("tags"))
            if tags.replace is not None:
                attributes[name] = list(tags.replace)
                return bodies, note
            if tags.add:
                lay(body, ("attributes", ADD, name), list(tags.add))
            if tags.remove:
                last = body
                if tags.add:
                    last = bodies["remove"] = {**head, "attributes": dict(identifiers)}
                lay(last, ("attributes", REMOVE, name), list(tags.remove))
        return bodies, note

    def _identifiers(self, delta: Delta) -> dict[str, Any]:
        """With identity resolution: what finds the person, in every call in place of `customer_id`."""
        names = {"email": self.name_of("email"), "phone": self.name_of("phone")}
        found = {str(name): delta.held[field] for field, name in names.items() if delta.held.get(field)}
        if not found:
            raise BuildError("identity resolution needs an e-mail or mobile, and the lane holds neither")
        return found

    def _call(self, body: dict[str, Any], step: str) -> Call:
        query = ""
        if (project := self.account.get("project_code")) is not None:
            query = f"?project_code={self.segment(project, 'project_code')}"
        path = f"/v1/customer/{self.segment(self.account['workspace'], 'workspace')}{query}"
        return Call("POST", self.url(self._host(), path), body, auth=self._auth(), step=step)

    def _host(self) -> str:
        return f"api-{self.account['dc']:02d}.moengage.com"

    def _auth(self) -> dict[str, str]:
        workspace = self.header(self.account["workspace"], "workspace")
        return {**self.basic(self.account["workspace"], self.account["key"]), "MOE-APPKEY": workspace}

    # --- judging ------------------------------------------------------------------------------------------------

    def verdict(self, reply: Reply) -> Outcome:
        """What a reply to a write means: status, then `status` and `error.type` of the body."""
        outcome = self.judge(reply)
        body = reply.json()
        if outcome.kind is OutcomeKind.DELIVERED:
            status = look(body, ("status",))
            if not isinstance(status, str):
                return unreadable(f"{reply.status}: the body does not say status")
            return outcome if status == "success" else self._failure(reply, body)
        if reply.status == 400 and outcome.kind is OutcomeKind.REJECTED:
            return self._failure(reply, body)
        return outcome

    def _failure(self, reply: Reply, body: Any) -> Outcome:
        """The outcome of a body that says fail, by the family of its `error.type`."""
        kind = look(body, ("error", "type"))
        code = kind if isinstance(kind, str) and kind in self.errors else "fail" if reply.status != 400 else "400"
        advice = self.advice(code)
        reason = f"{code}: {advice.meaning if advice else ''}"
        family = "".join(letter for letter in str(kind).lower() if letter.isalpha())
        if reply.status != 400:
            if "ratelimit" in family:
                return throttled(reason, told_wait(reply))
            if "authentication" in family or family in {"blockedclient", "accountsuspended"}:
                return Outcome(OutcomeKind.DENIED, reason, applied_maybe=False)
            if family == "servererror":
                return Outcome(OutcomeKind.RETRY, reason)
        if family in {"invalidparams", "paramsrequired"} and "app_id" in json.dumps(look(body, ("error",))):
            return Outcome(OutcomeKind.DENIED, reason, applied_maybe=False)
        attribute = look(body, ("error", "attribute"))
        known = attribute in ("customer_id", "attributes", "type")
        return Outcome(OutcomeKind.REJECTED, f"{reason} ({attribute})" if known else reason)

    def example_reply(self, call: Call) -> Reply:
        message = "Your request has been accepted and will be processed soon."
        return success({"status": "success", "message": message, "request_id": "qEr6Tx01"})

    # --- reading back -------------------------------------------------------------------------------------------

    def read(self, delta: Delta) -> ReadConversation:
        if self.account["identity_resolution"]:
            return self.unreadable(delta, "identity resolution: people have no customer_id")
        names = [path[1] for name in self.expected(delta) if (path := self.path_of(name)) and len(path) == 2]
        workspace = self.segment(self.account["workspace"], "workspace")
        identifier = {"identifier_type": "customer_id", "identifier": delta.profile}
        reply = yield Call(
            "POST",
            self.url(self._host(), f"/v1/customers/export?app_id={workspace}"),
            {"data": {"identifiers": [identifier]}, "user_fields_to_export": ["customer_id", *names]},
            auth=self._auth(),
            step="read",
            writes=False,
        )
        if fault := self.read_fault(reply):
            return self.unreadable(delta, fault)
        body = reply.json()
        users = look(body, ("data", "users"))
        if body.get("status") != "success" or not isinstance(users, list):
            return self.unreadable(delta, "the reply does not say success")
        for user in users:
            attributes = look(user, ("user_attributes",))
            if str(look(attributes, ("customer_id",))) == delta.profile:
                return self.compared(delta, {"attributes": attributes})
        return self.not_found(delta)


def _take_cleared(placed: dict[Path, dict[str, Any]]) -> list[dict[str, Any]]:
    """Take out what is to be cleared, as entries of `unset_attributes`."""
    entries = []
    for way, members in list(placed.items()):
        if _CLEARED not in members.values():
            continue
        for name in [name for name, value in members.items() if value is _CLEARED]:
            entries.append({"type": "equals", "attr": ".".join((*way[1:], name)), "case_sensitive": True})
            del members[name]
        if not members:
            del placed[way]
    return entries
