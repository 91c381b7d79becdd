"""What MoEngage takes: ids, attribute names and values.

https://www.moengage.com/docs/api/user/track-user and the user guide on user attributes and data limits.
"""

from __future__ import annotations

from typing import Any

from router.providers.bodies import is_number
from router.providers.render import body_bytes

#: special keys of `attributes`: arrays to add to and to remove from
ADD, REMOVE = "addValueToArrayField", "removeValueFromArrayField"

MAX_NAME_CHARS = 200
MAX_TEXT_CHARS = 512
MAX_ELEMENTS = 50
MAX_MEMBERS = 100
MAX_OBJECT_BYTES = 25_600

#: ids that all strangers would share, compared in lower case
FORBIDDEN_IDS = frozenset(
    {
        "unknown",
        "guest",
        "null",
        "0",
        "1",
        "true",
        "false",
        "user_attribute_unique_id",
        "(empty)",
        "na",
        "n/a",
        "dummy_seller_code",
        "user_id",
        "id",
        "customer_id",
        "uid",
        "userid",
        "none",
        "-2",
        "-1",
        "2",
    }
)
#: the documented exceptions to "no name starts with moe_"; `moe_mobile` identifies people in some workspaces
SYSTEM_NAMES = frozenset(
    {
        "moe_unsubscribe",
        "moe_spam",
        "moe_hard_bounce",
        "moe_sms_subscription",
        "moe_wa_subscription",
        "moe_sub_w",
        "moe_em_unsub_categories",
        "moe_email_optin_status",
        "moe_gaid",
        "moe_mweb",
        "moe_mobile",
    }
)
RESERVED_NAMES = frozenset(
    {
        "MOE_TIME_FORMAT",
        "MOE_TIME_TIMEZONE",
        "MOE_GAID",
        "MOE_ISLAT",
        "INSTALL",
        "UPDATE",
        "status",
        "user_id",
    }
)
#: the one attribute with a shape of its own
PLATFORMS = "platforms"
_PLATFORMS = ("ANDROID", "iOS", "web")


def id_fault(profile: str) -> str:
    """Why a `customer_id` is refused, as it goes on after the provider's name, or nothing."""
    if len(profile) < 2:
        return "takes no customer_id of one character"
    return "does not take this customer_id: strangers would share it" if profile.lower() in FORBIDDEN_IDS else ""


def name_fault(name: str) -> str:
    """Why an attribute name is refused, as it goes on after the provider's name, or nothing."""
    if name in {"", "id", "_id"}:
        return f"blocks the name '{name}'"
    if len(name) > MAX_NAME_CHARS:
        return f"takes names of at most {MAX_NAME_CHARS} characters"
    if name in SYSTEM_NAMES:
        return ""
    if name.startswith("moe_"):
        return "reserves names that start with moe_"
    if name in RESERVED_NAMES or name.startswith("USER_ATTRIBUTE_"):
        return f"reserves the name '{name}'"
    return ""


def cut(attributes: dict[str, Any]) -> str:
    """Cut the texts that MoEngage would cut without a word, in place. Gives a note, or nothing."""
    long = [
        name
        for name, value in attributes.items()
        if type(value) is str and len(value) > MAX_TEXT_CHARS and not _is_url(value)
    ]
    for name in long:
        attributes[name] = attributes[name][:MAX_TEXT_CHARS]
    return f"cut to {MAX_TEXT_CHARS} characters: {', '.join(long)}" if long else ""


def value_fault(name: str, value: Any) -> str:
    """Why an attribute's value is refused, as it goes on after its name, or nothing."""
    if name == PLATFORMS:
        return _platforms_fault(value)
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, (bool, int, float)):
        return ""
    if isinstance(value, list):
        return _list_fault(value)
    if name in {ADD, REMOVE} and isinstance(value, dict):
        return "" if all(isinstance(item, list) and not _list_fault(item) for item in value.values()) else "holds lists"
    return _object_fault(value) if isinstance(value, dict) else "is text, a number, yes/no, a list or an object"


def _text_fault(value: str) -> str:
    if len(value) <= MAX_TEXT_CHARS:
        return ""
    return f"has more than {MAX_TEXT_CHARS} characters" + (", such a URL is dropped" if _is_url(value) else "")


def _is_url(value: str) -> bool:
    return value.startswith(("http://", "https://"))


def _list_fault(value: list[Any]) -> str:
    if value and all(isinstance(item, dict) for item in value):
        if len(value) > MAX_MEMBERS:
            return f"has more than {MAX_MEMBERS} objects"
        return next((fault for item in value if (fault := _object_fault(item, levels=1))), "")
    if len(value) > MAX_ELEMENTS:
        return f"has more than {MAX_ELEMENTS} elements"
    if not any(all(check(item) for item in value) for check in (_is_text, is_number, _is_flag)):
        return "has elements of several types"
    return next((fault for item in value if _is_text(item) and (fault := _text_fault(item))), "")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _object_fault(value: dict[str, Any], levels: int = 2) -> str:
    if len(value) > MAX_MEMBERS:
        return f"has more than {MAX_MEMBERS} members"
    if body_bytes(value) > MAX_OBJECT_BYTES:
        return f"has more than {MAX_OBJECT_BYTES} bytes"
    for key, item in value.items():
        if any(sign in key for sign in "$.%#"):
            return "has a member whose name contains $ . % or #"
        if isinstance(item, dict):
            fault = _object_fault(item, levels - 1) if levels > 1 else "is nested deeper than two levels"
            if fault:
                return fault
    return ""


def _platforms_fault(value: Any) -> str:
    good = isinstance(value, list) and all(
        isinstance(item, dict)
        and set(item) == {"platform", "active"}
        and item["platform"] in _PLATFORMS
        and item["active"] in ("true", "false")
        for item in value
    )
    return "" if good else 'is a list such as [{platform: web, active: "true"}], with ANDROID, iOS or web'
