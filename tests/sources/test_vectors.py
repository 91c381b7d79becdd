"""What the senders' own libraries said about requests, as `make oracles` wrote it down: we say the same, or why not."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from router.errors import MalformedError, SignatureError, UpstreamError
from router.model import Webhook
from router.sources import PRESETS, Given, Source, lay_over
from tests.sources.given import Upstream, a_source, envelope

ORACLES = Path(__file__).parents[1] / "oracles"
FILES = sorted((Path(__file__).parent / "vectors").glob("*.json"))
DOCUMENTS = [json.loads(path.read_text("utf-8")) for path in FILES]


def flat() -> dict[str, tuple[str, dict[str, Any], dict[str, Any], str]]:
    """Test id → library, topic, vector, URL."""
    found = {}
    for document in DOCUMENTS:
        for topic in document["topics"]:
            for vector in topic["vectors"]:
                name = f"{document['library']} {topic['preset']}: {vector['name']}"
                assert name not in found
                found[name] = (document["library"], topic, vector, document["url"])
    return found


VECTORS = flat()
SPELLINGS_OF_TIME = ["a zero before the time", "a plus before the time"]
STANDARD = ["npm:standardwebhooks", "npm:svix", "npm:@clerk/backend"]

#: libraries, vectors: where they accept and we do not, and why
LAXER: list[tuple[list[str], list[str], str]] = [
    (["npm:@adyen/api-library"], ["cut: hmacsignature", "junk behind: hmacsignature", "twice: hmacsignature"],
     "compares what base64 text decodes to, and passes over what is none"),
    (["npm:@adyen/api-library"], ["junk behind the signature"], "the same"),
    (["npm:chargebee"], ["junk behind"], "passes over what is no base64"),
    (["npm:sns-validator", "pypi:paypalrestsdk"], ["junk behind the signature", "junk in the signature"], "the same"),
    (["npm:@kinde/webhooks"], ["an idle bit in the signature"], "one signature in another spelling"),
    ([*STANDARD, "npm:stripe", "npm:@paddle/paddle-node-sdk", "npm:@slack/bolt"], SPELLINGS_OF_TIME,
     "signs the number that it has read, not the text that came"),
    (STANDARD, ["junk behind: svix-timestamp", "twice: svix-timestamp", "junk behind: webhook-timestamp",
                "twice: webhook-timestamp"], "the same"),
    ([*STANDARD, "npm:stripe", "npm:@paddle/paddle-node-sdk", "npm:@workos-inc/node"],
     [f"twice: {name}-signature" for name in ("svix", "webhook", "stripe", "paddle", "workos")],
     "takes one of two headers: we refuse a request that can be read in two ways"),
    (["npm:stripe", "npm:@hubspot/api-client", "npm:@paddle/paddle-node-sdk", "npm:@slack/bolt",
      "npm:@workos-inc/node"], ["too far ahead"], "bounds the past only"),
    (["npm:@workos-inc/node"], ["a blank behind the body", "the same JSON, written in another way"],
     "signs the JSON that it has parsed and written again, not the bytes that came"),
    (["npm:@workos-inc/node"], ["only a signature of version 0", "only a signature of version 1a",
                                "only a label in capitals"], "reads the second entry whatever its label"),
    (["npm:sns-validator"], ["version 1"], "SHA-1 is taken where `versions` says so"),
    (["npm:sns-validator"], ["another topic", "a week old"], "looks at neither topic nor age"),
    (["npm:sns-validator"], ["a certificate in a bucket called sns"], "takes any name for a region"),
    (["pypi:paypalrestsdk"], ["SHA-1"], "takes the algorithm that the request names"),
    (["pypi:paypalrestsdk"], ["a month old"], "does not look at the age"),
    (["pypi:paypalrestsdk"], ["a certificate elsewhere", "a certificate by http"],
     "fetches from anywhere, and believes the certificate for its authority alone"),
    (["npm:cloudevents"], [f"{way} {name}" for way in ("structured, without", "structured, blank")
                           for name in ("specversion", "id")] + ["binary, without ce-specversion"],
     "puts in what is missing: an id of its own, the version"),
]  # fmt: skip

#: where we accept and they do not, and why
STRICTER: list[tuple[list[str], list[str], str]] = [
    (["npm:chargebee"], ["the scheme in small letters", "the scheme in capitals"],
     "a scheme may be in any case: https://www.rfc-editor.org/rfc/rfc9110#section-11.1"),
    (["npm:@kinde/webhooks"], ["over for half a minute"], "has no leeway for clocks"),
    (["npm:@paddle/paddle-node-sdk"], ["as old as allowed"], "allows five seconds, a queueing proxy needs more"),
    (["npm:@paddle/paddle-node-sdk"], ["another signature last"], "reads the last of several"),
    (["npm:@workos-inc/node"], ["another signature first", "the signature before the time"], "reads two by place"),
    (["npm:sns-validator"], ["an end of the subscription"],
     "signs it as a notification; https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html"
     " says as a confirmation"),
    (["pypi:paypalrestsdk"], ["a certificate of no authority"],
     "knows its authority; we believe what PayPal's host has under /v1/notifications/certs/ by TLS"),
]  # fmt: skip


def pairs(differences: list[tuple[list[str], list[str], str]]) -> set[tuple[str, str]]:
    """Library and vector of each difference that there is a vector for."""
    asked = {(library, vector["name"]) for library, _, vector, _ in VECTORS.values()}
    listed = [
        {(library, name) for library in libraries for name in names} & asked for libraries, names, _ in differences
    ]
    assert all(listed), "a difference that no vector shows"
    return set().union(*listed)


KNOWN_LAXER, KNOWN_STRICTER = pairs(LAXER), pairs(STRICTER)


def source_of(topic: dict[str, Any], url: str) -> Source:
    preset = PRESETS[topic["preset"]]
    verify = lay_over(preset["verify"], topic["verify"])
    user, _, password = topic["secret"].partition(":")
    secrets = [Given(topic["secret"]), {"user": user, "password": Given(password)}]
    return a_source(verify, *secrets, url=url, envelope=envelope(preset.get("envelope", {}).get("format", "json")))


def judged(topic: dict[str, Any], vector: dict[str, Any], url: str) -> bool:
    """Our verdict, at the time of the vector. Of CloudEvents, which nobody signs, also whether they can be read."""
    at = datetime.fromisoformat(vector["at"])
    source = source_of(topic, url)
    fetch = Upstream({page: text.encode() for page, text in topic["pages"].items()})
    headers = {"content-type": "application/json", **vector["headers"]}
    webhook = Webhook("x", vector["method"], headers, {}, vector["body"].encode(), at)
    try:
        source.verify(webhook, at, fetch)
        events = source.decode(webhook) if topic["preset"] == "cloudevents" else []
    except (SignatureError, UpstreamError, MalformedError):
        return False
    return not any(event.error for event in events)


@pytest.mark.parametrize("name", VECTORS)
def test_our_verdict_is_the_library_s_or_the_difference_is_known(name: str) -> None:
    library, topic, vector, url = VECTORS[name]
    known = KNOWN_LAXER if vector["accepted"] else KNOWN_STRICTER
    differs = (library, vector["name"]) in known
    assert judged(topic, vector, url) == (vector["accepted"] != differs)


@pytest.mark.parametrize("name", [name for name, (_, _, vector, _) in VECTORS.items() if "event" in vector])
def test_what_the_library_of_cloudevents_writes_is_read_as_it_was_meant(name: str) -> None:
    _, topic, vector, url = VECTORS[name]
    webhook = Webhook("x", "POST", vector["headers"], {}, vector["body"].encode(), datetime.fromisoformat(vector["at"]))
    source = source_of(topic, url)
    (event,) = source.decode(webhook)
    read = source.open(event)
    assert {**read, "datacontenttype": read["datacontenttype"].partition(";")[0]} == vector["event"]


def test_every_library_has_accepted_and_refused_something() -> None:
    for document in DOCUMENTS:
        for topic in document["topics"]:
            verdicts = [vector["accepted"] for vector in topic["vectors"]]
            assert True in verdicts, document["library"]
            assert False in verdicts, document["library"]


def test_the_vectors_are_of_the_libraries_that_are_pinned() -> None:
    pinned = json.loads((ORACLES / "package.json").read_text("utf-8"))["dependencies"]
    versions = {document["library"]: document["version"] for document in DOCUMENTS}
    assert {f"npm:{name}": version for name, version in pinned.items()} == {
        library: version for library, version in versions.items() if library.startswith("npm:")
    }
    assert f"paypalrestsdk=={versions['pypi:paypalrestsdk']} " in (ORACLES / "requirements-paypal.txt").read_text(
        "utf-8"
    )
