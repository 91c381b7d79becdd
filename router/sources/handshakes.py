"""Handshakes: how senders ask whether a URL is ours. Each is one entry of a table.

What is reflected is a stranger's text: at most 1 KiB of printable ASCII, as plain text or JSON, never sniffed.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.errors import ConfigError, MalformedError, SecretError, SignatureError, UpstreamError
from router.model import Webhook
from router.settings import Secret
from router.sources.base import Answer
from router.sources.forms import decode_form
from router.sources.jsontext import decode_json
from router.sources.schemes import Scheme, guarded
from router.sources.schemes.base import Fetcher, Param, Problem, check_params, secret_of
from router.sources.schemes.certificates import is_sns_url
from router.sources.schemes.keyset import fetch_bytes

_PRINTABLE = re.compile(r"[ -~]{1,1024}")
_NO_SNIFF = {"x-content-type-options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Request:
    """What a handshake may look at."""

    webhook: Webhook
    scheme: Scheme
    ack: Answer
    fetch: Fetcher | None = None


_Respond = Callable[[Mapping[str, Any], Request], Answer | None]


@dataclass(frozen=True, slots=True)
class Handshake:
    """One entry: what it does before verification, and after it."""

    before: _Respond | None = None
    after: _Respond | None = None
    params: Mapping[str, Param] | None = None


def as_handshakes(configured: Any) -> list[Mapping[str, Any]]:
    """A name, a map with `name`, a list of these, or `none`, as a list of maps."""
    entries = configured if isinstance(configured, list | tuple) else [configured]
    found = [{"name": entry} if isinstance(entry, str) else entry for entry in entries if entry is not None]
    return [entry for entry in found if entry != {"name": "none"}]


def handshake_problems(configured: Any) -> list[Problem]:
    """What is wrong with `handshake`: `(key path, message, hint)`. The path starts with an index where it is a list."""
    return list(_problems(configured))


def _problems(configured: Any) -> Iterator[Problem]:
    listed = isinstance(configured, list)
    for index, entry in enumerate(as_handshakes(configured)):
        path = (str(index),) if listed else ()
        name = entry.get("name") if isinstance(entry, Mapping) else None
        handshake = HANDSHAKES.get(name) if isinstance(name, str) else None
        if handshake is None:
            yield path, f"a handshake is one of {', '.join(HANDSHAKES)}, or none", ""
            continue
        given = {key: value for key, value in entry.items() if key != "name"}
        yield from check_params(f"handshake {name}", given, handshake.params or {}, path, "name")


def answer_before(handshakes: Sequence[Mapping[str, Any]], request: Request) -> Answer | None:
    """The answer to a probe that comes without a verified body. Raises `SignatureError`, `UpstreamError`."""
    for entry in handshakes:
        respond = HANDSHAKES[entry["name"]].before
        answer = respond(entry, request) if respond else None
        if answer is not None:
            return answer
    return None


def answer_after(handshakes: Sequence[Mapping[str, Any]], request: Request) -> Answer | None:
    """The answer to a verified request that only asks or pings. Raises `UpstreamError`."""
    for entry in handshakes:
        respond = HANDSHAKES[entry["name"]].after
        answer = respond(entry, request) if respond else None
        if answer is not None:
            return answer
    return None


def _echo(text: str) -> Answer:
    """A reflected text, or 400."""
    if not _PRINTABLE.fullmatch(text):
        return Answer(status=400, body=None)
    return Answer(body=text, type="text/plain", headers=_NO_SNIFF)


def _parameter(webhook: Webhook, name: str) -> str | None:
    values = webhook.query.get(name, ())
    return values[0] if len(values) == 1 else None


def _json_object(webhook: Webhook, clue: bytes) -> Mapping[str, Any]:
    """The body if it is a JSON object with `clue` in its bytes, else an empty one."""
    if clue not in webhook.body:
        return {}
    try:
        value = decode_json(webhook.body)
    except MalformedError:
        return {}
    return value if isinstance(value, dict) else {}


# --- before verification -----------------------------------------------------------------------------------------


def _okta(_entry: Mapping[str, Any], request: Request) -> Answer | None:
    """https://developer.okta.com/docs/concepts/event-hooks/#one-time-verification-request"""
    webhook = request.webhook
    challenge = webhook.headers.get("x-okta-verification-challenge")
    if webhook.method != "GET" or not challenge:
        return None
    guarded(request.scheme, webhook, webhook.received_at, request.fetch)
    if not _PRINTABLE.fullmatch(challenge):
        return Answer(status=400, body=None)
    return Answer(body={"verification": challenge}, headers=_NO_SNIFF)


def _hub(entry: Mapping[str, Any], request: Request) -> Answer | None:
    """https://developers.facebook.com/docs/graph-api/webhooks/getting-started#verification-requests"""
    webhook = request.webhook
    if webhook.method != "GET" or _parameter(webhook, "hub.mode") != "subscribe":
        return None
    try:
        token = _verify_token(entry).reveal().strip().encode()
    except SecretError as error:
        raise UpstreamError(str(error)) from error
    given = _parameter(webhook, "hub.verify_token") or ""
    if not hmac.compare_digest(token, given.encode("utf-8", "replace")):
        return Answer(status=403, body=None)
    return _echo(_parameter(webhook, "hub.challenge") or "")


def _query_echo(_entry: Mapping[str, Any], request: Request) -> Answer | None:
    """https://learn.microsoft.com/graph/change-notifications-delivery-webhooks#notificationurl-validation"""
    for name in ("validationToken", "challenge"):
        value = _parameter(request.webhook, name)
        if value is not None and request.webhook.method in {"GET", "POST"}:
            return _echo(value)
    return None


def _cloudevents_options(entry: Mapping[str, Any], request: Request) -> Answer | None:
    """https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection

    The callback that a request may name is never called.
    """
    webhook = request.webhook
    origin = webhook.headers.get("webhook-request-origin", "").strip().lower()
    if webhook.method != "OPTIONS" or origin not in {allowed.lower() for allowed in entry["origins"]}:
        return None
    rate = entry.get("rate", "*")
    return Answer(
        body=None,
        headers={"allow": "POST", "webhook-allowed-origin": origin, "webhook-allowed-rate": rate},
    )


def _head(_entry: Mapping[str, Any], request: Request) -> Answer | None:
    """A probe that only asks whether somebody is there."""
    return Answer(body=None) if request.webhook.method in {"HEAD", "GET"} else None


def _ping_before(entry: Mapping[str, Any], request: Request) -> Answer | None:
    """WooCommerce greets a new URL with an unsigned form `webhook_id=<n>`.

    https://github.com/woocommerce/woocommerce/blob/trunk/plugins/woocommerce/includes/class-wc-webhook.php
    """
    webhook, name = request.webhook, entry.get("form")
    if name is None or webhook.method != "POST" or len(webhook.body) > 64:
        return None
    try:
        form = decode_form(webhook.body)
    except MalformedError:
        return None
    number = form.get(name)
    lonely = len(form) == 1 and isinstance(number, str) and number.isascii() and number.isdigit()
    return request.ack if lonely else None


# --- after verification ------------------------------------------------------------------------------------------


def _ping_after(entry: Mapping[str, Any], request: Request) -> Answer | None:
    """A test event that carries no profile: `X-GitHub-Event: ping`, `"topic": "ping"`."""
    value = entry.get("value", "ping")
    header = entry.get("header", "x-github-event").lower()
    if request.webhook.headers.get(header) == value:
        return request.ack
    key = entry.get("key", "topic")
    return request.ack if _json_object(request.webhook, value.encode()).get(key) == value else None


def _json_challenge(_entry: Mapping[str, Any], request: Request) -> Answer | None:
    """https://docs.slack.dev/reference/events/url_verification"""
    body = _json_object(request.webhook, b"url_verification")
    if body.get("type") != "url_verification":
        return None
    challenge = body.get("challenge")
    if not isinstance(challenge, str) or not _PRINTABLE.fullmatch(challenge):
        return Answer(status=400, body=None)
    return Answer(body={"challenge": challenge}, headers=_NO_SNIFF)


def _zoom(_entry: Mapping[str, Any], request: Request) -> Answer | None:
    """https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint"""
    body = _json_object(request.webhook, b"endpoint.url_validation")
    if body.get("event") != "endpoint.url_validation":
        return None
    payload = body.get("payload")
    token = payload.get("plainToken") if isinstance(payload, dict) else None
    if not isinstance(token, str) or not _PRINTABLE.fullmatch(token):
        return Answer(status=400, body=None)
    # while secrets rotate, it is the one that this request was signed with
    key = request.scheme.signing_key(request.webhook) or next(iter(request.scheme.keys()), None)
    if key is None:
        raise UpstreamError("the handshake zoom needs a scheme with a secret")
    digest = hmac.digest(key, token.encode(), "sha256").hex()
    return Answer(body={"plainToken": token, "encryptedToken": digest}, headers=_NO_SNIFF)


def _sns_confirm(_entry: Mapping[str, Any], request: Request) -> Answer | None:
    """Visits SubscribeURL of a message whose signature and topic were verified.

    https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.prepare.html
    """
    body = _json_object(request.webhook, b"SubscribeURL")
    if body.get("Type") == "UnsubscribeConfirmation":
        return request.ack
    if body.get("Type") != "SubscriptionConfirmation":
        return None
    url = body.get("SubscribeURL")
    if not isinstance(url, str) or not is_sns_url(url):
        raise SignatureError("the confirmation is at a strange place")
    fetch_bytes(request.fetch, url)
    return request.ack


HANDSHAKES: Mapping[str, Handshake] = {
    "okta": Handshake(before=_okta),
    "json-challenge": Handshake(after=_json_challenge),
    "hub": Handshake(before=_hub, params={"verify_token": Param("any", required=True)}),
    "zoom": Handshake(after=_zoom),
    "query-echo": Handshake(before=_query_echo),
    "sns-confirm": Handshake(after=_sns_confirm),
    "cloudevents-options": Handshake(
        before=_cloudevents_options, params={"origins": Param("list", required=True), "rate": Param()}
    ),
    "ping": Handshake(
        before=_ping_before,
        after=_ping_after,
        params={"header": Param("header"), "key": Param(), "value": Param(), "form": Param()},
    ),
    "head": Handshake(before=_head),
}


def check_handshakes(handshakes: Sequence[Mapping[str, Any]]) -> None:
    """Raises `ConfigError` for what `handshake_problems` finds, or a secret that is no reference."""
    found = handshake_problems(list(handshakes))
    if found:
        raise ConfigError(found[0][1])
    for entry in handshakes:
        if entry["name"] == "hub":
            _verify_token(entry)


def _verify_token(entry: Mapping[str, Any]) -> Secret:
    token = secret_of(entry["verify_token"])
    if not isinstance(token, Secret):
        raise ConfigError("verify_token is one reference: $env.NAME or $file.PATH")
    return token
