"""EngageLab Marketing Automation: set a user's properties and contacts.

API     https://www.engagelab.com/docs/marketing-automation/rest-api/attribu-setup  (read November 2026)
Host    ma-api.engagelab.com, the only one published
Auth    Basic, APIKey : APISecret of a data source of type API
Limits  none published for writes; identity values of at most 256 characters
Quirks  properties take EngageLab's own `euid` only, which `register` gives for our id (and creates the user);
        one verb a call (`set`, `delete`, `add`, `remove`), so one change is up to six calls;
        e-mail and phone are contacts, which nothing can delete; no value may be empty (55103);
        the answer is in the body's `code`, with any HTTP status; code 0 may mean that only a part was accepted;
        the shape of `delete` is not published: names with the value `true`; times carry no zone
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from marshmallow import Schema

from router.errors import BuildError
from router.model import (
    FORGET,
    Call,
    Conversation,
    Delta,
    Instant,
    Outcome,
    OutcomeKind,
    ReadBack,
    ReadConversation,
    Reply,
)
from router.providers.accounts import SecretSetting
from router.providers.base import Abilities, Problem, Provider
from router.providers.bodies import Attributes, Members, Text
from router.providers.judge import Advice, after_write, success, unreadable
from router.providers.render import Path, look, seconds_in

#: of the samples in the documentation
EXAMPLE_EUID = 10362473
HOST = "ma-api.engagelab.com"
_DOCS = "https://www.engagelab.com/docs/marketing-automation/rest-api/attribu-setup"

MAX_ID_CHARS = 256
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,49}")
_EUID = re.compile(r"[1-9][0-9]{0,18}")

#: codes with which an euid that is not known may be refused
_EUID_CODES = frozenset({40007, 55004})
_DENIED_CODES = frozenset({40050, 50031, 50034, 50074})
#: status that speaks for itself, whatever the code
_STATUS_FIRST = frozenset({401, 403, 408, 429})
CONTACT_EXISTS = 55014


def name_fault(name: str) -> str:
    """Why a property name is refused, as it goes on after the provider's name, or nothing."""
    if name.startswith("el_"):
        return "reserves names that start with el_"
    return "" if _NAME.fullmatch(name) else "takes names of up to 50 letters, digits and _, a letter first"


def value_fault(_name: str, value: Any) -> str:
    """Why a property's value is refused, as it goes on after its name, or nothing."""
    if isinstance(value, (str, bool, int, float)):
        return ""
    good = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return "" if good else "is text, a number, yes/no or a list of texts"


class EngageLab(Provider):
    name = "engagelab"
    label = "EngageLab"
    abilities = Abilities(clear=True, tags_edit=True, closed_names=True)
    into = ("properties",)
    fixed_paths: ClassVar[Mapping[str, Path]] = {"email": ("contacts", "email"), "phone": ("contacts", "mobile_phone")}
    docs_url = _DOCS
    default_rate = "500/m"
    throttle_s = 60.0
    example_handle = str(EXAMPLE_EUID)
    errors: ClassVar[Mapping[str, Advice]] = {
        "40050": Advice("authentication failed", "check key and secret of the destination", url=_DOCS),
        "40007": Advice("the euid is empty or not known", "the router registers the person again by itself", url=_DOCS),
        "50031": Advice("the project id is not legal", "check key and secret of the destination", url=_DOCS),
        "50034": Advice("the project does not exist", "check key and secret of the destination", url=_DOCS),
        "50074": Advice("no data source of type API", "add one in EngageLab, use its key and secret", url=_DOCS),
        "55004": Advice(
            "parameters are not valid", "compare the properties with those declared in EngageLab", url=_DOCS
        ),
        "55014": Advice("another person has this contact", "find out who; contacts belong to one person", url=_DOCS),
        "55102": Advice("a property is not valid", "declare it in EngageLab, or take it out of properties:", url=_DOCS),
        "55103": Advice("a property has no value", "look at the call", url=_DOCS),
    }

    class Account(Schema):
        key = SecretSetting(required=True)
        secret = SecretSetting(required=True)

    class Body(Schema):
        properties = Attributes(names=name_fault, values=value_fault, deep=False)
        contacts = Members(
            {"email": Text(), "mobile_phone": Text(), "landline_phone": Text(), "whatsapp_phone": Text()}
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._zone = ZoneInfo(self.options.timezone)

    def clears(self, field_name: str) -> bool:
        path = self.path_of(field_name)
        return path is not None and path[0] == "properties"

    def name_problem(self, name: str) -> Problem | None:
        fault = name_fault(name)
        return Problem("reserved-name", f"{self.name} {fault}") if fault else None

    def id_problem(self, profile: str) -> Problem | None:
        if 0 < len(profile) <= MAX_ID_CHARS:
            return None
        return Problem("reserved-name", f"{self.name} takes ids of 1 to {MAX_ID_CHARS} characters")

    def moment(self, instant: Instant) -> str:
        return seconds_in(self._zone, instant.us // 1_000_000).replace("T", " ")

    def value_of(self, field_name: str, value: Any) -> Any:
        """Lists hold texts only."""
        found = super().value_of(field_name, value)
        return [_as_text(item) for item in found] if isinstance(found, list) else found

    # --- writing ------------------------------------------------------------------------------------------------

    def upsert(self, delta: Delta) -> Conversation:
        writes = self._writes(delta)
        euid = delta.provider_handle if _EUID.fullmatch(delta.provider_handle or "") else None
        known = euid is not None
        wrote = False
        while True:
            if euid is None:
                reply = yield self._call("register", {"identity_name": "user_id", "identity_values": [delta.profile]})
                outcome, euid = self._registered(reply, delta.profile)
                if euid is None:
                    handle = None if delta.provider_handle is None else FORGET
                    return replace(outcome, ambiguous=False, applied_maybe=wrote, handle=handle)
            code: int | None = None
            for step, body in writes:
                reply = yield self._call(step, {"euid": int(euid), **body}, handle=euid)
                outcome, code = self.verdict(reply)
                if code == CONTACT_EXISTS and step == "contact":
                    outcome = yield from self._compare_contacts(euid, body["contacts"], outcome)
                if outcome.kind is not OutcomeKind.DELIVERED:
                    break
                wrote = True
            else:
                return Outcome(OutcomeKind.DELIVERED, handle=euid)
            if not (known and code in _EUID_CODES and outcome.kind is OutcomeKind.REJECTED):
                return replace(after_write(outcome) if wrote else outcome, handle=euid)
            known, euid = False, None

    def _writes(self, delta: Delta) -> list[tuple[str, dict[str, Any]]]:
        """The bodies without euid, in the order in which they are sent."""
        found = self.placed(delta, cleared="")
        contacts = found.pop(("contacts",), {})
        properties = found.pop(("properties",), {})
        if found:
            way, members = next(iter(found.items()))
            raise BuildError(f"{self.name} has no place for {'.'.join((*way, next(iter(members))))}")
        added: dict[str, Any] = {}
        removed: dict[str, Any] = {}
        if (tags := delta.tags) is not None:
            name = str(self.name_of("tags"))
            if tags.replace is not None:
                properties[name] = list(tags.replace)
            else:
                added = {name: list(tags.add)} if tags.add else {}
                removed = {name: list(tags.remove)} if tags.remove else {}
        deleted = {name: True for name, value in properties.items() if not value and value in ("", [])}
        kept = {name: value for name, value in properties.items() if name not in deleted} if deleted else properties
        self.preflight({"properties": {**kept, **deleted, **added, **removed}, "contacts": contacts}, delta.profile)
        verbs = {"set": kept, "delete": deleted, "add": added, "remove": removed}
        writes = [(verb, {"type": verb, "properties": names}) for verb, names in verbs.items() if names]
        return [*writes, ("contact", {"contacts": contacts})] if contacts else writes

    def _call(self, step: str, body: dict[str, Any], *, handle: str | None = None) -> Call:
        paths = {"register": "/v1/user/register", "contact": "/v1/user/contact", "read": "/v1/user/profile"}
        return Call(
            "POST",
            self.url(HOST, paths.get(step, "/v1/user/property")),
            body,
            auth=self.basic(self.account["key"], self.account["secret"]),
            step=step,
            writes=step not in {"register", "read"},
            handle=handle,
        )

    # --- judging ------------------------------------------------------------------------------------------------

    def verdict(self, reply: Reply) -> tuple[Outcome, int | None]:
        """What a reply means: by `code` where the body has one, else by status. Gives the code too."""
        outcome = self.judge(reply)
        code = look(reply.json(), ("code",))
        if type(code) is not int:
            if outcome.kind is OutcomeKind.DELIVERED:
                outcome = unreadable(f"{reply.status}: the body has no code")
            return outcome, None
        if code in _DENIED_CODES:
            return Outcome(OutcomeKind.DENIED, self._reason(code), applied_maybe=False), code
        by_code = reply.status // 100 in {2, 4} and reply.status not in _STATUS_FIRST
        if code == 0 or not by_code:
            return outcome, code
        return Outcome(OutcomeKind.REJECTED, self._reason(code)), code

    def _reason(self, code: int) -> str:
        advice = self.errors.get(str(code))
        return f"{code}: {advice.meaning if advice else 'a code that EngageLab does not document'}"

    def _registered(self, reply: Reply, profile: str) -> tuple[Outcome, str | None]:
        """The euid that `register` gave, or why there is none."""
        outcome, _ = self.verdict(reply)
        if outcome.kind is not OutcomeKind.DELIVERED:
            return outcome, None
        entries = look(reply.json(), ("data",))
        for entry in entries if isinstance(entries, list) else ():
            euid = look(entry, ("euid",))
            if look(entry, ("identity_value",)) == profile and type(euid) is int and 0 < euid < 2**63:
                return outcome, str(euid)
        return Outcome(OutcomeKind.RETRY, f"{reply.status}: no euid for this person"), None

    def _compare_contacts(
        self, euid: str, contacts: Mapping[str, Any], refused: Outcome
    ) -> Generator[Call, Reply, Outcome]:
        """A contact that exists is fine if it is this person's."""
        reply = yield self._call("read", {"euid": [int(euid)], "contacts": list(contacts)}, handle=euid)
        outcome, _ = self.verdict(reply)
        if outcome.kind is not OutcomeKind.DELIVERED:
            return replace(outcome, ambiguous=False, applied_maybe=True)
        entry = self._profile(reply, euid)
        same = all(look(entry, ("contacts", name)) == value for name, value in contacts.items())
        return outcome if same else refused

    def example_reply(self, call: Call) -> Reply:
        body: dict[str, Any] = {"code": 0, "message": "success"}
        if call.step == "register":
            body["data"] = [{"identity_value": value, "euid": EXAMPLE_EUID} for value in call.body["identity_values"]]
        return success(body)

    # --- reading back -------------------------------------------------------------------------------------------

    def read(self, delta: Delta) -> ReadConversation:
        if not _EUID.fullmatch(delta.provider_handle or ""):
            return self.unreadable(delta, "no handle")
        euid = str(delta.provider_handle)
        wanted: dict[str, list[str]] = {"properties": [], "contacts": []}
        for name in self.expected(delta):
            path = self.path_of(name)
            if path is not None and path[0] in wanted:
                wanted[path[0]].append(path[1])
        body = {
            "euid": [int(euid)],
            "user_identities": ["user_id"],
            "user_properties": wanted["properties"],
            "contacts": wanted["contacts"],
        }
        reply = yield self._call("read", body, handle=euid)
        if fault := self.read_fault(reply):
            return self.unreadable(delta, fault)
        if look(reply.json(), ("code",)) != 0:
            return self.unreadable(delta, "the reply does not say code 0")
        return self._read_entry(delta, self._profile(reply, euid))

    def _read_entry(self, delta: Delta, entry: Any) -> ReadBack:
        if entry is None:
            return self.not_found(delta)
        groups = {"properties": look(entry, ("user_properties",)), "contacts": look(entry, ("contacts",))}
        if not any(isinstance(group, dict) for group in groups.values()):
            return self.unreadable(delta, "the reply is nested in an unknown way")
        return self.compared(delta, groups)

    def _profile(self, reply: Reply, euid: str) -> Any:
        """The entry of one euid in a reply to a profile query, or None."""
        entries = look(reply.json(), ("data",))
        return (
            next((e for e in entries if look(e, ("euid",)) == int(euid)), None) if isinstance(entries, list) else None
        )


def _as_text(value: Any) -> Any:
    """An element of a list as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value}" if isinstance(value, (int, float)) else value
