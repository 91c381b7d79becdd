"""Questions about CloudEvents: what their library writes and reads. The token beside them is none of its business."""

from __future__ import annotations

import json
from typing import Any

from tests.oracles.questions import SECRET, Question, Topic

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "id 1/x",
    "source": "/crm",
    "type": "com.corp.user.updated",
    "subject": "u1",
    "time": "2026-01-10T00:00:00.123Z",
    "datacontenttype": "application/json",
    "sequence": "17",
    "data": {"email": "ann@corp.example", "name": "Zoë 😀", "n": [1, 2.5, None, True]},
}
_TOKEN = {"authorization": f"Bearer {SECRET}"}
_STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8", **_TOKEN}
_BATCH = {"content-type": "application/cloudevents-batch+json", **_TOKEN}
_BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/crm",
    "ce-type": "com.corp.user.updated",
    "content-type": "application/json",
    **_TOKEN,
}


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in EVENT.items() if key != name}


def topic() -> Topic:
    made = {
        "binary": EVENT,
        "structured": EVENT,
        "binary, without data": _without("data"),
        "structured, without data": _without("data"),
        "binary, text": {**EVENT, "datacontenttype": "text/plain", "data": "Hello Zoë"},
        "structured, text": {**EVENT, "datacontenttype": "text/plain", "data": "Hello Zoë"},
        "structured, base64": {
            **_without("data"),
            "datacontenttype": "application/octet-stream",
            "data_base64": "AP8=",
        },
        "structured, a list": {**EVENT, "data": [1, 2]},
    }
    questions = [
        Question(name, json.dumps(event, ensure_ascii=False), None, made_by="library") for name, event in made.items()
    ]
    bodies = {
        "structured, by hand": EVENT,
        **{f"structured, without {name}": _without(name) for name in ("specversion", "id", "source", "type")},
        **{f"structured, blank {name}": {**EVENT, name: ""} for name in ("specversion", "id", "source", "type")},
        "structured, an id that is a number": {**EVENT, "id": 5},
        "structured, version 2.0": {**EVENT, "specversion": "2.0"},
        "structured, a list instead": [EVENT],
    }
    questions += [Question(name, json.dumps(body), _STRUCTURED, made_by="hand") for name, body in bodies.items()]
    questions += [
        Question("structured, no JSON", "{", _STRUCTURED, made_by="hand"),
        Question("a batch of two", json.dumps([EVENT, {**EVENT, "id": "2"}]), _BATCH, made_by="hand"),
        Question("an empty batch", "[]", _BATCH, made_by="hand"),
        Question("a batch that is an object", json.dumps(EVENT), _BATCH, made_by="hand"),
        Question("binary, by hand", '{"email":"ann@corp.example"}', _BINARY, made_by="hand"),
        Question("binary, no JSON", "{", _BINARY, made_by="hand"),
    ]
    for gone in ("ce-specversion", "ce-id", "ce-source", "ce-type"):
        headers = {name: value for name, value in _BINARY.items() if name != gone}
        questions.append(Question(f"binary, without {gone}", "{}", headers, made_by="hand"))
    return Topic("npm:cloudevents", "cloudevents", SECRET, questions)
