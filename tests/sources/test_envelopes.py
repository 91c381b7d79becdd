"""Envelopes: which events are in a request, what is stored of them, and how that is opened again."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from router.errors import MalformedError, TooLarge, UnsupportedMedia
from router.model import Event, Webhook
from router.sources import Envelope, Source
from router.sources.envelopes import elements_at
from tests.sources.given import JSON, a_source, as_bytes, envelope, request

A, B = {"id": "a", "type": "t"}, {"id": "b", "type": "t"}


def opened(webhook: Webhook, given: Envelope, **options: Any) -> list[Event]:
    """The events of a request, each of which opens to what its identity was read from."""
    return a_source(envelope=given, **options).decode(webhook)


def values(events: list[Event], source: Source) -> list[Any]:
    return [source.open(event) for event in events]


def json_source(**options: Any) -> Source:
    return a_source(envelope=Envelope(**options))


# --- JSON ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b'{"id": "a", "type":"t"}', b'\xef\xbb\xbf{"id":"a","type":"t"}', b'[{"id":"a","type":"t"}]']
)
def test_one_event_is_stored_as_received(body: bytes) -> None:
    source = json_source()
    (event,) = source.decode(request(body))
    assert (event.body, event.part, event.error) == (body, False, "")
    assert source.open(event) == A


def test_a_list_is_one_event_per_element() -> None:
    source = json_source()
    events = source.decode(request(as_bytes([A, B])))
    assert [(event.external_id, event.part, event.body) for event in events] == [
        ("a", True, b'{"id":"a","type":"t"}'),
        ("b", True, b'{"id":"b","type":"t"}'),
    ]
    assert values(events, source) == [A, B]


def test_an_empty_list_has_no_events() -> None:
    assert json_source().decode(request(b"[]")) == []


@pytest.mark.parametrize("body", [b"5", b'"x"', b"null", b"true", b"[5]", b"[[]]"])
def test_a_request_without_an_object_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        json_source().decode(request(body))


def test_an_unreadable_element_does_not_fail_the_others() -> None:
    source = json_source()
    events = source.decode(request(as_bytes([A, 5, [B]])))
    assert [event.error for event in events] == ["", "not an object", "not an object"]
    assert [event.external_id == "a" for event in events] == [True, False, False]
    assert [event.type for event in events] == ["t", "untyped", "untyped"]
    assert events[1].weak_id
    assert events[1].body == b"5"
    assert source.open(events[0]) == A
    with pytest.raises(MalformedError):
        source.open(events[1])


def test_events_may_be_at_a_path() -> None:
    source = json_source(events=lambda body: body.get("data", {}).get("events", []))
    events = source.decode(request(as_bytes({"data": {"events": [A, B]}})))
    assert values(events, source) == [A, B]
    one = as_bytes({"data": {"events": [A]}})
    (event,) = source.decode(request(one))
    assert (event.body, event.part, event.external_id) == (one, False, "a")
    assert source.open(event) == A


@pytest.mark.parametrize(
    "body", [{}, {"data": {}}, {"data": {"events": None}}, {"data": {"events": A}}, {"data": 5}, [], [A]]
)
def test_a_path_without_a_list_of_events_is_the_wrong_envelope(body: Any) -> None:
    source = json_source(events=elements_at(("data", "events", None)))
    with pytest.raises(MalformedError, match="where the envelope has them"):
        source.decode(request(as_bytes(body)))


def test_an_empty_list_at_a_path_has_no_events() -> None:
    assert json_source(events=elements_at(("data", "events", None))).decode(request(b'{"data":{"events":[]}}')) == []


def test_an_unreadable_element_at_a_path_does_not_fail_the_others_and_keeps_its_place() -> None:
    elements = [A, None, 5, "x", [B], {"type": "t"}]
    source = json_source(events=elements_at(("items", None)))
    events = source.decode(request(as_bytes({"items": elements})))
    assert [event.error for event in events] == ["", *["not an object"] * 4, ""]
    assert [event.external_id.rpartition("#")[2] for event in events] == ["a", "1", "2", "3", "4", "5"]
    assert [json.loads(event.body) for event in events] == elements
    at_the_root = json_source().decode(request(as_bytes(elements)))
    assert [(event.error, event.body) for event in at_the_root] == [(event.error, event.body) for event in events]


@pytest.mark.parametrize("element", [None, 5, "x", [A]])
def test_one_unreadable_element_at_a_path_is_400_as_it_is_at_the_root(element: Any) -> None:
    for source, body in (
        (json_source(events=elements_at(("items", None))), {"items": [element]}),
        (json_source(), [element]),
    ):
        with pytest.raises(MalformedError, match="not an object"):
            source.decode(request(as_bytes(body)))
    with pytest.raises(MalformedError):
        json_source(events=lambda body: [body]).decode(request(as_bytes(element)))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (("a", None, "b"), [A, None, None, None]),
        (("a", None, "c", None), [A, B, 5, None]),
        (("a", 0), [{"b": A, "c": [A, B, 5]}]),
        (("a", 9), None),
        (("a", "b"), None),
        (("a",), [{"b": A, "c": [A, B, 5]}, {"c": None}, {"b": None, "c": A}, 5]),
        (("d",), [A]),
    ],
)
def test_what_is_at_a_path(path: Any, found: Any) -> None:
    body = {"a": [{"b": A, "c": [A, B, 5]}, {"c": None}, {"b": None, "c": A}, 5], "d": A}
    assert elements_at(path)(body) == found


DEEP = "[" * 62 + "1" + "]" * 62
WIDE = json.dumps({str(number): 0 for number in range(9000)})


@pytest.mark.parametrize(
    ("text", "more", "error"),
    [(DEEP, {}, "nested deeper than 64"), (WIDE, {str(n): 0 for n in range(2000)}, "more than 10000 keys")],
)
def test_what_is_opened_counts_for_what_it_makes_of_its_event(text: str, more: dict[str, int], error: str) -> None:
    broad, nested = {"id": "a", "m": {"m": {"m": text}}, **more}, (("m", "m", "m"),)
    in_items = json_source(events=elements_at(("items", None)), parse_json=nested)
    events = in_items.decode(request(as_bytes({"items": [broad, B]})))
    assert [event.error for event in events] == [error, ""]
    assert in_items.open(events[1]) == B
    lines = a_source(envelope=envelope("lines", parse_json=nested))
    assert [event.error for event in lines.decode(request(as_bytes(broad) + b"\n{}"))] == [error, ""]
    with pytest.raises(MalformedError, match=error):
        a_source(envelope=envelope("json", parse_json=nested), redact=[("id",)]).decode(request(as_bytes(broad)))
    whole = json_source(parse_json=nested)
    (event,) = whole.decode(request(as_bytes(broad)))
    assert whole.open(event)["id"] == "a", "as received: what is stored has the limits of what came"


def test_a_field_that_could_not_be_read_again_is_refused_at_once() -> None:
    source = a_source(envelope=envelope("form"))
    form = {"content-type": "application/x-www-form-urlencoded"}
    with pytest.raises(MalformedError, match="256 KB"):
        source.decode(request(b"a=" + b"%C3%A9" * 150_000, form))
    with pytest.raises(MalformedError, match="256 KB"):
        cloud().decode(request(b"\xff" * 200_000, {**BINARY, "content-type": "image/png"}))


def test_a_path_to_the_whole_request_is_the_request() -> None:
    source = json_source(events=lambda body: [body], parse_json=(("text",),))
    body = as_bytes({**A, "text": '"[1]"'})
    (event,) = source.decode(request(body))
    assert source.open(event) == {**A, "text": "[1]"}


def test_too_many_events_are_too_large() -> None:
    with pytest.raises(TooLarge):
        json_source().decode(request(b"[" + b"1," * 10_000 + b"1]"))
    with pytest.raises(TooLarge):
        a_source(envelope=envelope("lines")).decode(request(b"{}\n" * 10_001))


# --- JSON or base64 in text ---------------------------------------------------------------------------------------


def test_json_in_text_is_opened_and_the_request_is_stored_as_received() -> None:
    source = json_source(parse_json=(("Message",),))
    body = as_bytes({**A, "Message": '{"x":1}'})
    (event,) = source.decode(request(body))
    assert (event.body, event.part) == (body, False)
    assert source.open(event) == {**A, "Message": {"x": 1}}


def test_json_in_text_is_opened_in_every_element() -> None:
    source = json_source(parse_json=(("Message",),))
    events = source.decode(request(as_bytes([{**A, "Message": "[1]"}, {**B, "Message": "no"}])))
    assert source.open(events[0]) == {**A, "Message": [1]}
    assert "should be JSON" in events[1].error


def test_json_in_text_is_opened_before_and_after_the_path_of_the_events() -> None:
    source = json_source(events=lambda body: body["batch"], parse_json=(("batch",), ("Message",)))
    events = source.decode(request(as_bytes({"batch": json.dumps([{**A, "Message": "[1]"}, B])})))
    assert values(events, source) == [{**A, "Message": [1]}, B]


@pytest.mark.parametrize("value", ["", "  ", None, 5, {"x": 1}])
def test_what_is_no_text_or_blank_stays_as_it_is(value: Any) -> None:
    source = json_source(parse_json=(("Message",),))
    (event,) = source.decode(request(as_bytes({**A, "Message": value})))
    assert source.open(event) == {**A, "Message": value}


@pytest.mark.parametrize("text", ["no json", '{"a":1,"a":2}', "[" * 1000, "NaN"])
def test_text_that_should_be_json_is_as_strict(text: str) -> None:
    with pytest.raises(MalformedError):
        json_source(parse_json=(("Message",),)).decode(request(as_bytes({**A, "Message": text})))


@pytest.mark.parametrize("path", [("no",), ("id", "no"), ("list", 7), ("list", "a"), ("type", 0)])
def test_a_path_to_nothing_changes_nothing(path: tuple[str | int, ...]) -> None:
    source = json_source(parse_json=(path,))
    value = {**A, "list": [1]}
    (event,) = source.decode(request(as_bytes(value)))
    assert source.open(event) == value


def test_a_path_may_go_through_lists() -> None:
    source = json_source(parse_json=(("list", 1, "x"),))
    (event,) = source.decode(request(as_bytes({**A, "list": [0, {"x": "5"}]})))
    assert source.open(event) == {**A, "list": [0, {"x": 5}]}


@pytest.mark.parametrize(("raw", "value"), [(b'{"uid":"u"}', {"uid": "u"}), ("äh".encode(), "äh"), (b"", "")])
def test_base64_in_text_is_json_or_text(raw: bytes, value: Any) -> None:
    source = json_source(parse_base64=(("message", "data"),))
    (event,) = source.decode(request(as_bytes({**A, "message": {"data": base64.b64encode(raw).decode()}})))
    assert source.open(event) == {**A, "message": {"data": value}}


@pytest.mark.parametrize("text", ["!!!!", "aGVsbG8=!!!!", "aGVsbG8", base64.b64encode(b"\xff").decode()])
@pytest.mark.parametrize("path", [("data",)])
def test_base64_that_is_none_is_refused(text: str, path: tuple[str]) -> None:
    with pytest.raises(MalformedError):
        json_source(parse_base64=(path,)).decode(request(as_bytes({**A, "data": text})))


def test_base64_holds_no_nul_and_may_be_absent() -> None:
    source = json_source(parse_base64=(("data",),))
    with pytest.raises(MalformedError):
        source.decode(request(as_bytes({**A, "data": base64.b64encode(b"a\0b").decode()})))
    (event,) = source.decode(request(as_bytes({**A, "data": None})))
    assert source.open(event) == {**A, "data": None}


# --- lines --------------------------------------------------------------------------------------------------------


def test_lines_are_events_and_a_bad_line_fails_alone() -> None:
    source = a_source(envelope=envelope("lines"))
    body = as_bytes(A) + b"\r\n\n" + b"{bad\n" + b"5\n" + as_bytes(B)
    events = source.decode(request(body))
    assert [bool(event.error) for event in events] == [False, True, True, False]
    assert [event.body for event in events[1:3]] == [b"{bad", b"5"]
    assert [source.open(event) for event in (events[0], events[3])] == [A, B]
    assert all(event.part for event in events)


def test_lines_open_json_in_text() -> None:
    source = a_source(envelope=envelope("lines", parse_json=(("x",),)))
    events = source.decode(request(as_bytes({**A, "x": "[1]"}) + b"\n" + as_bytes({**B, "x": "no"})))
    assert source.open(events[0]) == {**A, "x": [1]}
    assert events[1].error


@pytest.mark.parametrize("body", [b"", b"\n \r\n"])
def test_no_lines_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        a_source(envelope=envelope("lines")).decode(request(body))


# --- forms --------------------------------------------------------------------------------------------------------

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"id=a&email=ann%40corp.example&name=Ann+Lee", {"id": "a", "email": "ann@corp.example", "name": "Ann Lee"}),
        (b"a%5B%5D=1&a%5B%5D=2&a%5B%5D=3&user%5Bemail%5D=x", {"a[]": ["1", "2", "3"], "user[email]": "x"}),
        (b"empty=&plain", {"empty": "", "plain": ""}),
        (b"", {}),
        ("n=한국".encode(), {"n": "한국"}),
    ],
)
def test_a_form_is_a_map(body: bytes, value: Any) -> None:
    source = a_source(envelope=envelope("form"))
    (event,) = source.decode(request(body, FORM))
    assert event.part
    assert source.open(event) == value


@pytest.mark.parametrize("body", [b"a=%ff", b"a=\xff", b"a=x%00", b"a%00=x", b"a=" + b"x" * 262_145])
def test_a_bad_form_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        a_source(envelope=envelope("form")).decode(request(body, FORM))


def test_a_form_has_at_most_1000_fields() -> None:
    source = a_source(envelope=envelope("form"))
    assert len(source.decode(request(b"&".join(b"a%d=1" % n for n in range(1000)), FORM))) == 1
    with pytest.raises(TooLarge):
        source.decode(request(b"&".join([b"a=1"] * 1001), FORM))


def test_github_puts_json_into_a_form() -> None:
    source = a_source(envelope=envelope("form", parse_json=(("payload",),)))
    (event,) = source.decode(request(b"payload=%7B%22action%22%3A%22x%22%7D", FORM))
    assert source.open(event) == {"payload": {"action": "x"}}
    with pytest.raises(MalformedError):
        source.decode(request(b"payload=no", FORM))


def multipart(*parts: str, end: str = "--b--\r\n") -> bytes:
    return "".join(f"--b\r\n{part}\r\n" for part in parts).encode() + end.encode()


MULTIPART = {"content-type": "multipart/form-data; boundary=b"}
ID = 'Content-Disposition: form-data; name="submissionID"\r\n\r\n500'


def test_jotform_sends_parts() -> None:
    source = a_source(envelope=envelope("multipart", parse_json=(("rawRequest",),)))
    head = 'content-disposition: FORM-DATA; name="rawRequest"\r\nContent-Type: text/plain'
    raw = head + '\r\n\r\n{"q4_email":"ann@corp.example"}'
    body = b"preamble\r\n" + multipart(ID, raw, 'Content-Disposition: form-data; name="a\\"b"\r\n\r\n')
    for headers in (MULTIPART, {"content-type": 'Multipart/Form-Data; charset=x; boundary="b"'}):
        (event,) = source.decode(request(body, headers))
        assert source.open(event) == {
            "submissionID": "500",
            "rawRequest": {"q4_email": "ann@corp.example"},
            'a"b': "",
        }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        multipart(ID, end=""),
        multipart("no end of headers"),
        multipart("X: y\r\n\r\nno name"),
        multipart("Content-Disposition: form-data\r\n\r\nno name"),
        multipart('Content-Disposition: attachment; name="x"\r\n\r\nno form'),
        multipart('Content-Disposition: form-data; name="f"; filename="x.png"\r\n\r\nfile'),
        multipart("Content-Disposition: form-data; name=\"f\"; filename*=UTF-8''x\r\n\r\nfile"),
        multipart('Content-Disposition: form-data; filename="x"; name="f"\r\n\r\nfile'),
        multipart('Content-Disposition: form-data; name="f"\r\n\r\n\0'),
        multipart(ID).replace(b"500", b"\xff"),
    ],
)
def test_bad_parts_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        a_source(envelope=envelope("multipart")).decode(request(body, MULTIPART))


def test_multipart_has_a_boundary_and_at_most_1000_parts() -> None:
    source = a_source(envelope=envelope("multipart"))
    with pytest.raises(MalformedError):
        source.decode(request(multipart(ID), {"content-type": "multipart/form-data"}))
    with pytest.raises(TooLarge):
        source.decode(request(multipart(*[ID] * 1001), MULTIPART))


# --- tokens -------------------------------------------------------------------------------------------------------


def compact(claims: bytes) -> bytes:
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b"{}", claims, b"sig"))


def test_the_claims_of_a_token_are_the_event() -> None:
    source = a_source(envelope=envelope("jwt"))
    for media in ("application/jwt", "text/plain", "application/jose"):
        (event,) = source.decode(request(compact(as_bytes(A)) + b"\n", {"content-type": media}))
        assert event.external_id == "a"
        assert event.part
        assert source.open(event) == A


@pytest.mark.parametrize(
    "body", [b"", b"a.b", b"a.!!!!.c", b"a.b.c.d", b"\xff.\xff.\xff", compact(b"\xff"), compact(b"5")]
)
def test_what_is_no_token_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        a_source(envelope=envelope("jwt")).decode(request(body, {"content-type": "application/jwt"}))


# --- CloudEvents --------------------------------------------------------------------------------------------------

CLOUD = {"specversion": "1.0", "id": "1", "source": "/crm", "type": "user.updated", "data": {"email": "a@b.example"}}
STRUCTURED = {"content-type": "Application/CloudEvents+JSON; charset=utf-8"}
BATCHED = {"content-type": "application/cloudevents-batch+json"}
BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/crm", "ce-type": "user.updated"}


def cloud() -> Source:
    return a_source(envelope=envelope("cloudevents", parse_json=(("extra",),)))


def test_a_structured_event() -> None:
    (event,) = cloud().decode(request(as_bytes(CLOUD), STRUCTURED))
    assert cloud().open(event) == CLOUD


def test_a_batch_of_events_with_one_that_is_none() -> None:
    events = cloud().decode(request(as_bytes([CLOUD, {"id": "x"}, 5, {**CLOUD, "extra": "no"}]), BATCHED))
    assert [bool(event.error) for event in events] == [False, True, True, True]
    assert "source, specversion, type" in events[1].error
    assert cloud().decode(request(b"[]", BATCHED)) == []


@pytest.mark.parametrize(
    ("body", "headers", "data"),
    [
        (b'{"email":"a@b.example"}', JSON, {"data": {"email": "a@b.example"}}),
        (b"[1]", {"content-type": "application/vnd.x+json; v=1"}, {"data": [1]}),
        ("tëxt".encode(), {"content-type": "text/plain"}, {"data": "tëxt"}),
        (b"\xff", {"content-type": "image/png"}, {"data_base64": "/w=="}),
        (b"", {"content-type": ""}, {}),
    ],
)
def test_a_binary_event_reads_as_a_structured_one(body: bytes, headers: dict[str, str], data: dict[str, Any]) -> None:
    (event,) = cloud().decode(request(body, {**BINARY, **headers}))
    media = {"datacontenttype": headers["content-type"]} if headers["content-type"] else {}
    attributes = {"specversion": "1.0", "id": "1", "source": "/crm", "type": "user.updated"}
    assert cloud().open(event) == {**attributes, **media, **data}


@pytest.mark.parametrize(
    ("value", "text"),
    [("Euro%20%E2%82%AC", "Euro €"), ('"a \\"b\\" \\\\c"', 'a "b" \\c'), ("100%2525", "100%25"), ("%zz", "%zz")],
)
def test_header_values_are_unquoted_and_decoded_once(value: str, text: str) -> None:
    (event,) = cloud().decode(request(b"", {**BINARY, "ce-subject": value}))
    assert cloud().open(event)["subject"] == text


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{}", STRUCTURED),
        (b"[]", STRUCTURED),
        (b"{}", BATCHED),
        (as_bytes({**CLOUD, "specversion": "0.3"}), STRUCTURED),
        (as_bytes({**CLOUD, "id": " "}), STRUCTURED),
        (as_bytes({**CLOUD, "data": 1, "data_base64": "AA=="}), STRUCTURED),
        (as_bytes({**CLOUD, "extra": "no"}), STRUCTURED),
        (as_bytes(CLOUD), {}),
        (b"{}", {**BINARY, "ce-id": ""}),
        (b"{}", {**BINARY, "ce-subject": "%ff"}),
        (b"{}", {**BINARY, "ce-subject": "\xff"}),
        (b"{}", {**BINARY, "ce-subject": "Ā"}),
        (b"{}", {**BINARY, "ce-subject": "%00"}),
        (b"{}", {**BINARY, "ce-datacontenttype": "text/plain"}),
        (b"{}", {**BINARY, "ce-data": "x"}),
        (b"{bad", BINARY),
        (b"a\0b", {**BINARY, "content-type": "text/plain"}),
    ],
)
def test_what_is_no_cloudevent_is_refused(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(MalformedError):
        cloud().decode(request(body, headers))


def test_another_event_format_is_not_taken() -> None:
    with pytest.raises(UnsupportedMedia):
        cloud().decode(request(b"", {"content-type": "application/cloudevents+avro"}))


# --- media types --------------------------------------------------------------------------------------------------

JSON_TYPES = ["", "application/json", "APPLICATION/JSON; charset=utf-8", "application/vnd.x+json", "text/plain"]
JSON_TYPES += ["text/html", "application/octet-stream", "application/x-ndjson"]
OTHERS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "application/xml", "image/png", "x"]


@pytest.mark.parametrize("media", JSON_TYPES + OTHERS)
@pytest.mark.parametrize("format_", ["json", "lines", "jwt", "form", "multipart"])
def test_each_format_takes_its_own_media_types(format_: str, media: str) -> None:
    bodies = {"form": b"a=1", "multipart": multipart(ID), "jwt": compact(b"{}")}
    webhook = request(bodies.get(format_, b"{}"), {"content-type": media})
    own = {"form": OTHERS[:1], "multipart": OTHERS[1:2]}.get(format_, JSON_TYPES)
    source = a_source(envelope=envelope(format_))
    if media in own:
        assert len(source.decode(webhook)) == 1
    else:
        with pytest.raises(UnsupportedMedia):
            source.decode(webhook)


def test_no_media_type_is_json() -> None:
    webhook = Webhook("x", "POST", {}, {}, b"{}", request().received_at)
    assert len(json_source().decode(webhook)) == 1


@pytest.mark.parametrize(("coding", "good"), [("", True), ("Identity", True), ("gzip", False), ("br", False)])
def test_compressed_bodies_are_not_taken(coding: str, good: bool) -> None:
    webhook = request(b"{}", {"content-encoding": coding})
    if good:
        json_source().decode(webhook)
    else:
        with pytest.raises(UnsupportedMedia):
            json_source().decode(webhook)


# --- redaction ----------------------------------------------------------------------------------------------------


def test_redacted_places_are_null_in_what_is_stored() -> None:
    paths: Any = [("person", "ssn"), ("list", None, "pin"), ("no", "such"), ("id", None)]
    source = a_source(redact=paths)
    value = {**A, "person": {"ssn": "1", "name": "n"}, "list": [{"pin": 1}, {"x": 2}, 3]}
    (event,) = source.decode(request(as_bytes(value)))
    assert event.part
    assert event.external_id == "a"
    assert source.open(event) == {**A, "person": {"ssn": None, "name": "n"}, "list": [{"pin": None}, {"x": 2}, 3]}


def test_identity_is_read_before_redaction() -> None:
    (event,) = a_source(redact=[("id",)]).decode(request(as_bytes(A)))
    assert (event.external_id, event.body) == ("a", b'{"id":null,"type":"t"}')


def test_without_anything_to_redact_the_request_is_stored_as_received() -> None:
    body = as_bytes({**A, "list": [{"x": 1}]})
    (event,) = a_source(redact=[("ssn",), ("list", None, "pin")]).decode(request(body))
    assert (event.body, event.part) == (body, False)


def test_redaction_reaches_every_element() -> None:
    events = a_source(redact=[("ssn",)]).decode(request(as_bytes([{**A, "ssn": "1"}, B])))
    assert [event.body for event in events] == [b'{"id":"a","type":"t","ssn":null}', b'{"id":"b","type":"t"}']


def test_the_value_that_was_read_is_not_changed() -> None:
    seen: list[Any] = []
    source = json_source(events=lambda body: seen.append(body) or [body])  # type: ignore[func-returns-value]
    source.decode(request(as_bytes(A)))
    assert seen == [A]
