"""What MoEngage stores of people, and the rules for names and values of attributes.

Facts: https://moengage.com/docs/api/user/track-user and the chapters on user attributes and data limits of
https://help.moengage.com. Values over a limit are cut or dropped without an error, as the guide says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from router.sandbox.api import Refusal, is_number, json_answer

# fmt: off
FORBIDDEN_IDS = frozenset({
    "unknown", "guest", "null", "0", "1", "true", "false", "user_attribute_unique_id", "(empty)", "na", "n/a",
    "dummy_seller_code", "user_id", "id", "customer_id", "uid", "userid", "none", "-2", "-1", "2",
})
#: `moe_` names that are documented; any other may be blacklisted
SYSTEM_NAMES = frozenset({
    "moe_unsubscribe", "moe_spam", "moe_hard_bounce", "moe_sms_subscription", "moe_wa_subscription", "moe_sub_w",
    "moe_mobile", "moe_em_unsub_categories", "moe_email_optin_status", "moe_gaid", "moe_mweb",
})
RESERVED_NAMES = frozenset({
    "id", "_id", "", "status", "user_id", "INSTALL", "UPDATE", "MOE_TIME_FORMAT", "MOE_TIME_TIMEZONE", "MOE_GAID",
    "MOE_ISLAT", "USER_ATTRIBUTE_DND_START_TIME", "USER_ATTRIBUTE_DND_END_TIME", "USER_ATTRIBUTE_UNIQUE_ID",
    "USER_ATTRIBUTE_USER_EMAIL", "USER_ATTRIBUTE_USER_MOBILE", "USER_ATTRIBUTE_USER_NAME", "USER_ATTRIBUTE_OLD_ID",
    "USER_ATTRIBUTE_USER_GENDER", "USER_ATTRIBUTE_USER_FIRST_NAME", "USER_ATTRIBUTE_USER_LAST_NAME",
    "USER_ATTRIBUTE_USER_BDAY", "USER_ATTRIBUTE_NOTIFICATION_PREF",
})
#: internal code → friendly name
CODES = {
    "u_n": "name",
    "u_fn": "first_name",
    "u_ln": "last_name",
    "u_em": "email",
    "u_mb": "mobile",
    "u_gd": "gender",
    "u_bd": "birthday",
}
STANDARD_NAMES = frozenset({
    *CODES.values(), "age", "geo", "transactions", "revenue", "created_time", "last_seen", "source", "uid", "platforms",
    "push_preference",
})
# fmt: on
#: taken over when the user is created, ignored later
BIRTH_NAMES = frozenset(
    {"publisher_name", "campaign_name", "u_l_a", "cr_t", "moe_gaid", "advertising_identifier", "moe_mweb"}
)
#: what identifies a person in a workspace with identity resolution
IDENTIFIERS = ("email", "mobile", "moe_mobile")
ARRAY_ADD, ARRAY_REMOVE = "addValueToArrayField", "removeValueFromArrayField"
_URL = re.compile(r"https?://\S+\Z")


def _bad(kind: str, message: str, attribute: str) -> Refusal:
    error = {"type": kind, "message": message, "attribute": attribute, "request_id": "sandbox"}
    return Refusal(json_answer(400, {"status": "fail", "error": error}))


def check_customer(body: Mapping[str, Any], identity_resolution: bool) -> None:
    """Refuse a customer element as the documents say. Raises `Refusal`."""
    if body.get("type") != "customer":
        raise _bad("MissingAttributeError", "type must be customer", "type")
    attributes = body.get("attributes", {})
    if not isinstance(attributes, dict):
        raise _bad("MissingAttributeError", "attributes must be an object", "attributes")
    _check_id(body, attributes, identity_resolution)
    if not isinstance(body.get("update_existing_only", False), bool):
        raise _bad("MissingAttributeError", "update_existing_only must be a boolean", "update_existing_only")
    for name, value in attributes.items():
        if name in (ARRAY_ADD, ARRAY_REMOVE):
            _check_array_field(name, value)
        else:
            _check_attribute(name, value)
    both = set(attributes.get(ARRAY_ADD, {})) & set(attributes.get(ARRAY_REMOVE, {}))
    if both:
        raise _bad("ArrayFieldError", "the same attribute is in both array fields", min(both))


def _check_id(body: Mapping[str, Any], attributes: Mapping[str, Any], identity_resolution: bool) -> None:
    given = body.get("customer_id")
    if given is None and identity_resolution:
        if not any(isinstance(attributes.get(name), str) and attributes[name] for name in IDENTIFIERS):
            raise _bad("MissingAttributeError", "attributes hold no activated identifier", "attributes")
        return
    if given is None or given == "":
        raise _bad("MissingAttributeError", "customer_id is mandatory", "customer_id")
    if not isinstance(given, str):
        raise _bad("MissingAttributeError", "customer_id must be a string", "customer_id")
    if len(given) == 1 or given.lower() in FORBIDDEN_IDS:
        raise _bad("Blacklisted", "customer_id is blacklisted", "customer_id")


def _check_attribute(name: str, value: Any) -> None:
    if name in RESERVED_NAMES or (name.lower().startswith("moe_") and name not in SYSTEM_NAMES):
        raise _bad("Blacklisted", "attribute is blacklisted", name)
    if name == "platforms":
        _check_platforms(value)
    elif isinstance(value, list) and len({_type(item) for item in value}) > 1:
        raise _bad("InvalidParams", "a list holds elements of one type", name)


def _check_platforms(value: Any) -> None:
    known = ("ANDROID", "iOS", "web")
    if not isinstance(value, list) or not all(isinstance(p, dict) and p.get("platform") in known for p in value):
        raise _bad("InvalidParams", "platforms is a list of {platform: ANDROID, iOS or web; active}", "platforms")


def _check_array_field(name: str, value: Any) -> None:
    if not isinstance(value, dict) or not all(isinstance(items, list) for items in value.values()):
        raise _bad("ArrayFieldError", f"{name} maps attributes to lists", name)
    for attribute in value:
        _check_attribute(attribute, value[attribute])


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if is_number(value) else type(value).__name__


@dataclass
class State:
    """Everybody in one workspace."""

    identity_resolution: bool
    objects: bool
    unset: bool
    most_names: int
    #: MoEngage's id → attributes, `customer_id` and `_id` among them
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: customer id → MoEngage's id
    by_customer: dict[str, str] = field(default_factory=dict)
    #: names of custom attributes the workspace has seen
    catalogue: set[str] = field(default_factory=set)
    born: int = 0

    def find(self, name: str, value: Any) -> dict[str, Any] | None:
        """The one person whose `customer_id` or `_id` is this."""
        return self.users.get(self.by_customer.get(value, "") if name == "customer_id" else value)

    def find_all(self, name: str, value: Any) -> list[dict[str, Any]]:
        """Everybody whose attribute has this value."""
        return [user for user in self.users.values() if name in user and user[name] == value]

    def identified(self, attributes: Mapping[str, Any]) -> dict[str, Any] | None:
        """The person that one of the identifiers among the values names, in a workspace with identity resolution."""
        if not self.identity_resolution:
            return None
        values = [v for n, v in attributes.items() if n in ("", *IDENTIFIERS) and isinstance(v, str)]
        return next((u for u in self.users.values() if any(u.get(i) in values for i in IDENTIFIERS)), None)

    def remove(self, user: Mapping[str, Any]) -> None:
        """Forget a person."""
        del self.users[user["_id"]]
        self.by_customer.pop(user.get("customer_id", ""), None)

    def merge(self, merged: str, retained: str) -> None:
        """What the retained person lacks comes from the merged one, who is gone afterwards. Unknown ids: nothing."""
        old, new = self.find("customer_id", merged), self.find("customer_id", retained)
        if old is not None and new is not None and old is not new:
            self.remove(old)
            for name, value in old.items():
                new.setdefault(name, value)

    def write(self, body: Mapping[str, Any]) -> bool:
        """Apply one checked customer element. False: nobody was written (`update_existing_only`)."""
        attributes = body.get("attributes", {})
        customer = body.get("customer_id")
        user = self.find("customer_id", customer) if customer else self.identified(attributes)
        new = user is None
        if user is None:
            if body.get("update_existing_only"):
                return False
            user = self._create(customer)
        for given, value in attributes.items():
            name = CODES.get(given, given)[:200]
            if name == ARRAY_ADD:
                self._add(user, value)
            elif name == ARRAY_REMOVE:
                for attribute, gone in value.items():
                    if isinstance(user.get(attribute), list):
                        user[attribute] = [item for item in user[attribute] if item not in gone]
            elif new or name not in BIRTH_NAMES:
                self._set(user, name, value)
        if self.unset:
            _unset(user, body.get("unset_attributes"))
        return True

    def _create(self, customer: str | None) -> dict[str, Any]:
        self.born += 1
        handle = f"{self.born:024x}"
        user: dict[str, Any] = {"_id": handle}
        if customer:
            user["customer_id"] = customer
            self.by_customer[customer] = handle
        self.users[handle] = user
        return user

    def _set(self, user: dict[str, Any], name: str, value: Any) -> None:
        kept = self._kept(value, name)
        if kept is None or name in ("uid", "customer_id", "_id"):
            return
        if name not in STANDARD_NAMES and name not in SYSTEM_NAMES and name not in self.catalogue:
            if len(self.catalogue) >= self.most_names:
                return
            self.catalogue.add(name)
        user[name] = kept

    def _add(self, user: dict[str, Any], fields: Mapping[str, list[Any]]) -> None:
        for name, items in fields.items():
            held = user.get(name)
            held = held if isinstance(held, list) else []
            self._set(user, name, [*held, *(item for item in items if item not in held)])

    def _kept(self, value: Any, name: str) -> Any:
        """What of a value is stored; None: nothing."""
        if isinstance(value, str) and len(value) > 512:
            return None if _URL.match(value) else value[:512]
        if name == "platforms":
            return value
        if isinstance(value, dict):
            return value if self.objects and value and _object_fits(value) else None
        if isinstance(value, list):
            items = [self._kept(item, "") for item in value[: 100 if value and isinstance(value[0], dict) else 50]]
            return [item for item in items if item is not None]
        return value


def _object_fits(value: Mapping[str, Any]) -> bool:
    return len(value) <= 100 and not any(set("$.%#") & set(name) for name in value)


_MATCHES: Mapping[str, Callable[[str, str], bool]] = {
    "equals": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
    "contains": str.__contains__,
}


def _unset(user: dict[str, Any], orders: Any) -> None:
    """`unset_attributes` of the older pages: a list of `{type, attr, case_sensitive}` over the attributes' names."""
    for order in orders if isinstance(orders, list) else ():
        if not isinstance(order, dict) or not isinstance(order.get("attr"), str):
            continue
        same_case = order.get("case_sensitive", True)
        given: str = order["attr"]
        wanted = CODES.get(given, given)
        matches = _MATCHES.get(str(order.get("type")))
        for name in [n for n in user if n not in ("_id", "customer_id")]:
            if matches and (matches(name, wanted) if same_case else matches(name.lower(), wanted.lower())):
                del user[name]
