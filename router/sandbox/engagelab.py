"""EngageLab Marketing Automation, locally: register, property, contact, profile.

API     https://www.engagelab.com/docs/marketing-automation/rest-api/attribu-setup
        and beside it get-euid, contact-setup, profile
Auth    Basic API key:API secret, else code 40050
Limits  profile 1,000 a minute; none is published for writes
Quirk   success is `code` 0 in the body; a value that register cannot take is simply missing in its answer

Where the documents are silent this server chose:
* the HTTP status of a failure is 200 (setting `failure_status`), of code 40050 it is 401 (setting `auth_status`);
* an unknown euid is code 55004 (setting `unknown_euid`), an empty or missing one 40007;
* property names are `[A-Za-z][A-Za-z0-9_]{0,49}` and do not start with `el_`; nested objects are refused with 55102;
* with the setting `properties` (a list of names) any other property is refused with 55102, else all names are open;
* `delete` takes any value that is not empty; a contact that somebody else has is 55014 (setting `shared_contacts`
  allows it); names that were never set are missing in the answer of `profile`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from router.sandbox.api import (
    Answer,
    Api,
    Clock,
    Refusal,
    Request,
    SandboxDestination,
    Window,
    basic_credentials,
    is_number,
    json_answer,
    media_type,
    read_json,
)

MESSAGES = {
    40007: "euid is empty",
    40050: "Interface authentication failed",
    55004: "Business parameters are invalid",
    55014: "Contact already exists",
    55102: "Invalid user attributes exist",
    55103: "User property values cannot be empty",
}
IDENTITY_NAMES = ("user_id", "anonymous_id", "registration_id")
CONTACT_NAMES = ("email", "mobile_phone", "landline_phone", "whatsapp_phone")
VERBS = ("set", "increase", "add", "remove", "delete")
GROUPS = ("user_identities", "user_properties", "device_properties", "contacts")
PROPERTY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,49}\Z")
FIRST_EUID = 10_000_091_198


@dataclass
class State:
    """Everybody in one project."""

    #: euid → the groups of `profile`
    users: dict[int, dict[str, dict[str, Any]]] = field(default_factory=dict)
    #: (identity name, value) → euid
    euids: dict[tuple[str, str], int] = field(default_factory=dict)
    #: (contact name, value) → euid
    contacts: dict[tuple[str, str], int] = field(default_factory=dict)
    next_euid: int = FIRST_EUID

    def new_euid(self) -> int:
        """A number nobody has had. They are wider than 32 bits, as the vendor's are."""
        self.next_euid += 1
        return self.next_euid - 1


class EngageLab(Api):
    """One project."""

    kind = "engagelab"
    required = ("key", "secret")
    state: State

    def __init__(self, destination: SandboxDestination, clock: Clock) -> None:
        super().__init__(destination, clock)
        self.state = State()
        window_s = destination.window_s or 60.0
        self._writes = Window(destination.limit or 0, window_s, clock)
        self._reads = Window(1_000, window_s, clock)
        names = self.settings.get("properties")
        self._properties = None if names is None else frozenset(names)
        self._routes: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "/v1/user/register": self._register,
            "/v1/user/property": self._property,
            "/v1/user/contact": self._contact,
            "/v1/user/profile": self._profile,
        }

    def respond(self, request: Request) -> Answer:
        handler = self._routes.get(request.path)
        if handler is None:
            raise Refusal(json_answer(404, {"code": 404, "message": "Not Found"}))
        if request.method != "POST":
            raise Refusal(json_answer(405, {"code": 405, "message": "Method Not Allowed"}))
        if basic_credentials(request) != (str(self.settings["key"]), str(self.settings["secret"])):
            raise self._fail(40050, int(self.settings.get("auth_status", 401)))
        if media_type(request) != "application/json":
            raise Refusal(json_answer(415, {"code": 415, "message": "Unsupported Media Type"}))
        window = self._reads if handler == self._profile else self._writes
        if not window.take():
            raise Refusal(self.failure(429))
        try:
            body = read_json(request.body)
        except ValueError:
            raise self._fail(55004) from None
        if not isinstance(body, dict):
            raise self._fail(55004)
        return handler(body)

    def _fail(self, code: int, status: int | None = None) -> Refusal:
        status = status or int(self.settings.get("failure_status", 200))
        return Refusal(json_answer(status, {"code": code, "message": MESSAGES[code]}))

    # --- endpoints ----------------------------------------------------------------------------------------------

    def _register(self, body: dict[str, Any]) -> Answer:
        """Unknown values are created. Those that break a rule are left out, unless all do."""
        name, values = body.get("identity_name"), body.get("identity_values")
        if name not in IDENTITY_NAMES or not isinstance(values, list) or not 1 <= len(values) <= 100:
            raise self._fail(55004)
        good = [value for value in values if isinstance(value, str) and 1 <= len(value) <= 256]
        if not good:
            raise self._fail(55004)
        created = False
        for value in good:
            if (name, value) not in self.state.euids:
                euid = self.state.new_euid()
                self.state.euids[name, value] = euid
                self.state.users[euid] = {group: {} for group in GROUPS}
                self.state.users[euid]["user_identities"][name] = value
                created = True
        data = [{"identity_value": value, "euid": self.state.euids[name, value]} for value in good]
        return json_answer(200, {"code": 0, "message": "success", "data": data}, applied=created)

    def _user(self, body: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        euid = body.get("euid")
        if euid is None or euid in ("", 0):
            raise self._fail(40007)
        if not isinstance(euid, int) or isinstance(euid, bool):
            raise self._fail(55004)
        user = self.state.users.get(euid)
        if user is None:
            raise self._unknown()
        return user

    def _unknown(self) -> Refusal:
        return self._fail(int(self.settings.get("unknown_euid", 55004)))

    def _property(self, body: dict[str, Any]) -> Answer:
        user, verb, properties = self._user(body), body.get("type"), body.get("properties")
        if verb not in VERBS or not isinstance(properties, dict) or not properties:
            raise self._fail(55004)
        for name, value in properties.items():
            self._check_property(name, value)
        apply = {"set": _set, "increase": _increase, "add": _add, "remove": _remove, "delete": _delete}[verb]
        changed = apply(user["user_properties"], properties)
        if changed is None:
            raise self._fail(55102)
        user["user_properties"] = changed
        return json_answer(200, {"code": 0, "message": "success"}, applied=True)

    def _check_property(self, name: str, value: Any) -> None:
        if not PROPERTY_NAME.match(name) or name.startswith("el_"):
            raise self._fail(55102)
        if self._properties is not None and name not in self._properties:
            raise self._fail(55102)
        if _empty(value):
            raise self._fail(55103)
        if isinstance(value, dict) or (isinstance(value, list) and not all(isinstance(v, str) for v in value)):
            raise self._fail(55102)

    def _contact(self, body: dict[str, Any]) -> Answer:
        user, contacts = self._user(body), body.get("contacts")
        if not isinstance(contacts, dict) or not contacts:
            raise self._fail(55004)
        for name, value in contacts.items():
            if _empty(value):
                raise self._fail(55103)
            if name not in CONTACT_NAMES or not isinstance(value, str):
                raise self._fail(55004)
            owner = self.state.contacts.get((name, value), body["euid"])
            if owner != body["euid"] and not self.settings.get("shared_contacts"):
                raise self._fail(55014)
        for name, value in contacts.items():
            self.state.contacts.pop((name, user["contacts"].get(name, "")), None)
            self.state.contacts[name, value] = body["euid"]
            user["contacts"][name] = value
        return json_answer(200, {"code": 0, "message": "success"}, applied=True)

    def _profile(self, body: dict[str, Any]) -> Answer:
        euids = body.get("euid")
        if not isinstance(euids, list) or not 1 <= len(euids) <= 100:
            raise self._fail(40007 if euids in (None, []) else 55004)
        wanted = {group: body[group] for group in GROUPS if group in body}
        if not all(isinstance(n, list) and all(isinstance(i, str) for i in n) for n in wanted.values()):
            raise self._fail(55004)
        data = []
        for euid in euids:
            if not isinstance(euid, int) or isinstance(euid, bool):
                raise self._fail(55004)
            user = self.state.users.get(euid)
            if user is not None:
                groups = {g: {n: user[g][n] for n in names if n in user[g]} for g, names in wanted.items()}
                data.append({"euid": euid, **groups})
        return json_answer(200, {"code": 0, "message": "success", "data": data})

    # --- for the sandbox itself ---------------------------------------------------------------------------------

    def _euid_of(self, profile: str) -> int | None:
        return self.state.euids.get(("user_id", profile))

    def held(self, profile: str) -> dict[str, Any] | None:
        euid = self._euid_of(profile)
        return None if euid is None else {"euid": euid, **self.state.users[euid]}

    def edit(self, profile: str, values: Mapping[str, Any]) -> bool:
        """`values` has the shape of `held`: the groups, each with the names to change."""
        euid = self._euid_of(profile)
        if euid is None:
            return False
        for group, names in values.items():
            self.state.users[euid].setdefault(group, {}).update(names)
        return True

    def profiles(self, request: Request) -> Sequence[str]:
        try:
            body = read_json(request.body)
        except ValueError:
            return ()
        if not isinstance(body, dict):
            return ()
        if request.path == "/v1/user/register":
            values = body.get("identity_values")
            return [value for value in values if isinstance(value, str)] if isinstance(values, list) else ()
        given = body.get("euid")
        euids = given if isinstance(given, list) else [given]
        users = [self.state.users.get(euid) for euid in euids if isinstance(euid, int)]
        return [user["user_identities"]["user_id"] for user in users if user and "user_id" in user["user_identities"]]

    def forget(self, profiles: Sequence[str]) -> int:
        """As when two people are merged: what is stored goes to a new euid, the old one is unknown."""
        known = [(profile, euid) for profile in profiles if (euid := self._euid_of(profile)) is not None]
        for profile, old in known:
            if old in self.state.users:
                new = self.state.new_euid()
                self.state.users[new] = self.state.users.pop(old)
                self.state.euids["user_id", profile] = new
                for name, value in self.state.users[new]["contacts"].items():
                    self.state.contacts[name, value] = new
        return len(known)

    def failure(self, status: int, wait_s: float | None = None) -> Answer:
        if status == 200:
            return self._fail(55102, 200).answer
        if status in (401, 403):
            return self._fail(40050, status).answer
        words = {429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}
        answer = json_answer(status, {"code": status, "message": words.get(status, "answered by the sandbox")})
        if wait_s is None:
            return answer
        return replace(answer, headers={**answer.headers, "retry-after": str(-int(-wait_s // 1))})


def _empty(value: Any) -> bool:
    return value is None or value in ("", [], {}) or (isinstance(value, list) and "" in value)


def _set(held: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {**held, **given}


def _increase(held: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """A number that is missing counts as 0. None: one of them is no number."""
    if not all(is_number(value) and is_number(held.get(name, 0)) for name, value in given.items()):
        return None
    return {**held, **{name: held.get(name, 0) + value for name, value in given.items()}}


def _lists(held: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return all(isinstance(value, list) and isinstance(held.get(name, []), list) for name, value in given.items())


def _add(held: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Duplicates are dropped. None: one of them is no list."""
    if not _lists(held, given):
        return None
    return {**held, **{name: list(dict.fromkeys([*held.get(name, []), *new])) for name, new in given.items()}}


def _remove(held: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any] | None:
    if not _lists(held, given):
        return None
    return {**held, **{n: [v for v in held[n] if v not in gone] for n, gone in given.items() if n in held}}


def _delete(held: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in held.items() if name not in given}
