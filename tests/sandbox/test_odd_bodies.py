"""Whatever JSON arrives, the vendor's API answers: no request breaks the server or is half applied."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.sandbox.api import Request
from router.sandbox.engagelab import FIRST_EUID as EUID
from router.sandbox.sandbox import APIS
from router.sandbox.wire import encode
from tests.sandbox.conftest import CREDENTIALS, WRITES, destinations

#: destination, method, path, a body that is accepted; some of its leaves are then replaced
ENDPOINTS: list[tuple[str, str, str, Any]] = [
    (
        "moengage",
        "POST",
        "/v1/customer/WORKSPACE",
        {
            "type": "customer",
            "customer_id": "u_1",
            "attributes": {"a": 1, "addValueToArrayField": {"t": ["x"]}},
            "update_existing_only": False,
            "unset_attributes": [{"type": "equals", "attr": "a"}],
        },
    ),
    (
        "moengage",
        "POST",
        "/v1/transition/WORKSPACE",
        {"type": "transition", "elements": [{"type": "customer", "customer_id": "u_1", "attributes": {"a": 1}}]},
    ),
    (
        "moengage",
        "POST",
        "/v1/customers/export?app_id=WORKSPACE",
        {"data": {"identifiers": [{"identifier_type": "id", "identifier": "x"}]}, "user_fields_to_export": ["a"]},
    ),
    ("moengage", "POST", "/v1/customer/delete?app_id=WORKSPACE", {"identity_type": "id", "identity_value": "x"}),
    (
        "moengage",
        "POST",
        "/v1/customer/merge?app_id=WORKSPACE",
        {"merge_data": [{"merged_user": "a", "retained_user": "b"}]},
    ),
    (
        "moengage",
        "POST",
        "/v1/opengdpr_requests/WORKSPACE",
        {
            "request_type": "erasure",
            "submitted_time": "x",
            "identities": [{"identity_type": "ID", "identity_value": 1}],
        },
    ),
    ("engagelab", "POST", "/v1/user/register", {"identity_name": "user_id", "identity_values": ["u_1", "u_2"]}),
    ("engagelab", "POST", "/v1/user/property", {"euid": EUID, "type": "set", "properties": {"a": 1, "b": ["x"]}}),
    ("engagelab", "POST", "/v1/user/property", {"euid": EUID, "type": "increase", "properties": {"seats": 1}}),
    ("engagelab", "POST", "/v1/user/property", {"euid": EUID, "type": "add", "properties": {"tags": ["x"]}}),
    ("engagelab", "POST", "/v1/user/contact", {"euid": EUID, "contacts": {"email": "x", "mobile_phone": "y"}}),
    ("engagelab", "POST", "/v1/user/profile", {"euid": [EUID], "user_properties": ["a"], "contacts": ["email"]}),
    (
        "channel",
        "PUT",
        "/open/v4/users/@u_1",
        {
            "profile": {"name": "x", "a": 1, "recentPurchaseCount": 1},
            "profileOnce": {"b": 1},
            "tags": ["x"],
            "unsubscribed": True,
            "language": "en",
        },
    ),
    ("channel", "PUT", "/open/v5/users/@u_1", {"profile": {"email": "x", "mobileNumber": "+1"}, "blocked": True}),
    (
        "moesif",
        "POST",
        "/v1/users",
        {
            "user_id": "u_1",
            "session_token": "t",
            "modified_time": "2025-10-01T09:00:00Z",
            "campaign": {"utm_source": "x"},
            "metadata": {"email": "x", "a": {"b": 1}},
        },
    ),
    ("moesif", "POST", "/v1/users/batch", [{"user_id": "u_1"}, {"user_id": "u_2", "metadata": {"a": 1}}]),
    ("crm", "PUT", "/v2/people/u_1", {"attributes": {"a": 1, "b": {"c": 2}}}),
]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from(["customer", "set", "delete", "u_1", "ID", "equals", ""]),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


def _damaged(body: Any, data: st.DataObject) -> Any:
    """The body with some of its parts replaced by any JSON."""
    if data.draw(st.integers(0, 5)) == 0:
        return data.draw(VALUES)
    if isinstance(body, dict):
        return {name: _damaged(value, data) for name, value in body.items()}
    return [_damaged(item, data) for item in body] if isinstance(body, list) else body


@pytest.mark.parametrize(("name", "method", "path", "body"), ENDPOINTS)
@settings(max_examples=80)
@given(data=st.data())
def test_every_body_is_answered_and_a_refusal_changes_nothing(
    name: str, method: str, path: str, body: Any, data: st.DataObject
) -> None:
    destination = destinations()[name]
    api = APIS[destination.kind](destination, lambda: 1_700_000_000.0)
    headers = {"content-type": "application/json", **CREDENTIALS[name]}
    api.handle(Request(WRITES[name][0], WRITES[name][1], headers, json.dumps(WRITES[name][2]).encode()))
    request = Request(method, path, headers, json.dumps(_damaged(body, data)).encode())
    before = copy.deepcopy(api.state)
    rehearsed = api.rehearse(request)
    assert api.state == before
    answer = api.handle(request)
    assert (answer.status, answer.body) == (rehearsed.status, rehearsed.body)
    assert encode(answer).head.startswith(b"HTTP/1.1 ")
    assert answer.applied or api.state == before
    api.profiles(request)
