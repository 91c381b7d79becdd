"""Adyen: one signature in every item."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from router.errors import SignatureError
from router.sources import PRESETS, Given
from tests.sources.given import NOW, SECRET, SECRET_HEX, a_source, as_bytes, request
from tests.sources.test_published import ADYEN_ITEM

ITEM: dict[str, Any] = ADYEN_ITEM
SOURCE = a_source({"scheme": "adyen-item"}, SECRET_HEX)


def notification(*items: dict[str, Any]) -> bytes:
    return as_bytes({"live": "false", "notificationItems": [{"NotificationRequestItem": item} for item in items]})


def test_the_published_example_is_accepted() -> None:
    SOURCE.verify(request(notification(ITEM)), NOW)
    SOURCE.verify(request(notification(ITEM, ITEM)), NOW)
    SOURCE.verify(request(notification({**ITEM, "success": True, "originalReference": None})), NOW)


@pytest.mark.parametrize("name", ["pspReference", "merchantAccountCode", "merchantReference", "eventCode", "success"])
@pytest.mark.parametrize("value", ["another", None, 1.5, ["x"], False, ""])
def test_every_signed_field_counts(name: str, value: Any) -> None:
    with pytest.raises(SignatureError):
        SOURCE.verify(request(notification({**ITEM, name: value})), NOW)


@pytest.mark.parametrize(
    "amount", [None, {}, {"value": 1131, "currency": "EUR"}, {"value": 1130, "currency": "USD"}, 5]
)
def test_the_amount_counts(amount: Any) -> None:
    with pytest.raises(SignatureError):
        SOURCE.verify(request(notification({**ITEM, "amount": amount})), NOW)


def test_one_forged_item_refuses_all() -> None:
    forged = copy.deepcopy(ITEM)
    forged["pspReference"] = "1"
    for items in ((forged, ITEM), (ITEM, forged)):
        with pytest.raises(SignatureError):
            SOURCE.verify(request(notification(*items)), NOW)


def test_the_rest_of_an_item_is_only_covered_by_the_password() -> None:
    pair = {"user": "adyen", "password": Given(SECRET)}
    source = a_source(PRESETS["adyen"]["verify"], SECRET_HEX, pair)
    basic = a_source({"scheme": "basic"}, pair).sign(b"", now=NOW, event_id="x")
    source.verify(request(notification(ITEM), basic), NOW)
    with pytest.raises(SignatureError):
        source.verify(request(notification(ITEM)), NOW)


def test_a_key_that_is_no_hexadecimal_text_is_a_problem() -> None:
    assert a_source({"scheme": "adyen-item"}, SECRET).secret_problems() == ["an Adyen HMAC key is hexadecimal text"]
