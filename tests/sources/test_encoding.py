"""The way back through an envelope: what is encoded opens to what it was."""

from __future__ import annotations

from typing import Any

import pytest

from router.errors import ConfigError
from router.sources.encoding import encode
from router.sources.envelopes import FORMATS, Opener
from tests.sources.given import envelope, request

EVENT = {"id": "é 1", "type": 'a "quoted" \\ type', "data": {"n": 1}}
CLOUD = {
    "specversion": "1.0",
    "id": 'percent % and "quotes" and é',
    "source": "/crm?a=b",
    "type": "com.corp.user.updated",
    "time": "2026-01-10T00:00:00Z",
}
JSON = "application/json"


def there_and_back(format_: str, body: Any, content_type: str = "") -> list[Any]:
    data, headers = encode(format_, body, content_type)
    return [element.value for element in Opener(envelope(format_)).open(request(data, headers))]


@pytest.mark.parametrize(
    ("format_", "body", "content_type"),
    [
        ("json", EVENT, ""),
        ("json", EVENT, "text/plain; charset=UTF-8"),
        ("lines", EVENT, ""),
        ("form", {"a": "é & = +", "b[]": ["1", "2"], 'odd " name\\': ""}, ""),
        ("multipart", {"a": "é\r\n--x", "b[]": ["1", "2"], 'odd " name\\': ""}, ""),
        ("cloudevents", {**CLOUD, "data": EVENT}, ""),
        ("cloudevents", {**CLOUD, "datacontenttype": JSON, "data": EVENT}, JSON),
        ("cloudevents", {**CLOUD, "datacontenttype": "text/plain", "data": "é"}, "text/plain"),
        ("cloudevents", {**CLOUD, "datacontenttype": "image/png", "data_base64": "/w=="}, "image/png"),
        ("cloudevents", {**CLOUD, "datacontenttype": JSON}, JSON),
    ],
)
def test_what_is_encoded_opens_to_the_same(format_: str, body: Any, content_type: str) -> None:
    assert there_and_back(format_, body, content_type) == [body]


@pytest.mark.parametrize(("format_", "body"), [("json", [EVENT, EVENT]), ("lines", [EVENT, EVENT])])
def test_several_events_stay_several(format_: str, body: Any) -> None:
    assert there_and_back(format_, body) == body


def test_a_batch_of_cloudevents_is_a_batch() -> None:
    batch = [{**CLOUD, "id": "1"}, {**CLOUD, "id": "2"}]
    assert there_and_back("cloudevents", batch) == batch
    assert encode("cloudevents", batch)[1] == {"content-type": "application/cloudevents-batch+json"}


def test_a_binary_cloudevent_has_its_attributes_in_headers() -> None:
    data, headers = encode("cloudevents", {**CLOUD, "sequence": 7, "data": EVENT}, "application/json; charset=utf-8")
    assert headers["ce-sequence"] == "7"
    assert headers["ce-id"] == "percent%20%25%20and%20%22quotes%22%20and%20%C3%A9"
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert "ce-data" not in headers
    assert b"specversion" not in data


def test_values_of_a_form_are_texts() -> None:
    assert there_and_back("form", {"n": 1.5, "yes": True, "none": None}) == [{"n": "1.5", "yes": "true", "none": ""}]


@pytest.mark.parametrize(
    ("format_", "body", "content_type", "says"),
    [
        ("form", [], "", "map of names"),
        ("form", {"a": {"b": 1}}, "", "field 'a' of a form is text"),
        ("multipart", {"a": [["b"]]}, "", "field 'a' of a form is text"),
        ("cloudevents", "text", JSON, "an object"),
        ("cloudevents", {**CLOUD, "data_base64": "?"}, "image/png", "data_base64"),
        ("cloudevents", {**CLOUD, "data_base64": 1}, "image/png", "data_base64"),
    ],
)
def test_what_a_format_cannot_express_is_refused(format_: str, body: Any, content_type: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        encode(format_, body, content_type)


def test_every_format_can_be_encoded() -> None:
    assert all(encode(format_, EVENT | {"data": "1"})[1]["content-type"] for format_ in FORMATS)
