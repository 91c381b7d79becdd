"""Examples that senders have published: secret, request and signature, as their pages have them."""

from __future__ import annotations

import base64
import hmac
import json
from typing import NamedTuple

import pytest

from router.errors import SignatureError
from router.model import from_us
from router.sources import PRESETS, Given, Source
from tests.sources.given import BODY, NOW, SECRET, a_source, as_bytes, request


class Published(NamedTuple):
    """One example, and the page it is on."""

    page: str
    preset: str
    secret: str
    headers: dict[str, str]
    body: bytes
    #: seconds since 1970
    at: int = 0


#: https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures
ADYEN_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
ADYEN_ITEM = {
    "pspReference": "7914073381342284",
    "merchantAccountCode": "TestMerchant",
    "merchantReference": "TestPayment-1407325143704",
    "amount": {"value": 1130, "currency": "EUR"},
    "eventCode": "AUTHORISATION",
    "success": "true",
    "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
}

EXAMPLES = [
    Published(
        "https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries",
        "github",
        "It's a Secret to Everybody",
        {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
    ),
    Published(
        "https://docs.svix.com/receiving/verifying-payloads/how-manual",
        "svix",
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
        {
            "svix-id": "msg_loFOjxBNrRLzqYUf",
            "svix-timestamp": "1731705121",
            "svix-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        },
        b'{"event_type":"ping","data":{"success":true}}',
        1731705121,
    ),
    Published(
        "https://docs.slack.dev/authentication/verifying-requests-from-slack",
        "slack",
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        1531420618,
    ),
    Published(
        "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures",
        "adyen",
        ADYEN_KEY,
        {},
        as_bytes({"live": "false", "notificationItems": [{"NotificationRequestItem": ADYEN_ITEM}]}),
    ),
]


def source_of(example: Published) -> Source:
    """The shipped preset with the published secret; of Adyen's two parts the one that signs."""
    verify = PRESETS[example.preset]["verify"]
    return a_source(verify["all_of"][1] if "all_of" in verify else verify, Given(example.secret))


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.preset for example in EXAMPLES])
def test_a_published_example_is_accepted(example: Published) -> None:
    source_of(example).verify(request(example.body, example.headers), from_us(example.at * 1_000_000))


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.preset for example in EXAMPLES])
def test_a_published_example_with_another_body_is_refused(example: Published) -> None:
    changed = example.body.replace(b"1130", b"1131") if example.preset == "adyen" else example.body + b" "
    assert changed != example.body
    with pytest.raises(SignatureError):
        source_of(example).verify(request(changed, example.headers), from_us(example.at * 1_000_000))


def test_the_signed_text_of_adyen_s_page_is_the_one_that_gives_its_signature() -> None:
    text = b"7914073381342284::TestMerchant:TestPayment-1407325143704:1130:EUR:AUTHORISATION:true"
    digest = base64.b64encode(hmac.digest(bytes.fromhex(ADYEN_KEY), text, "sha256")).decode()
    assert digest == ADYEN_ITEM["additionalData"]["hmacSignature"]  # type: ignore[index]  # a map of many kinds
    assert json.loads(EXAMPLES[-1].body)["notificationItems"][0]["NotificationRequestItem"] == ADYEN_ITEM


@pytest.mark.parametrize(
    ("preset", "headers"),
    [
        # https://shopify.dev/docs/apps/build/webhooks/subscribe/https
        ("shopify", {"x-shopify-hmac-sha256": "{base64}"}),
        # https://www.typeform.com/developers/webhooks/secure-your-webhooks/
        ("typeform", {"typeform-signature": "sha256={base64}"}),
        # https://developers.intercom.com/docs/webhooks/webhook-notifications
        ("intercom", {"x-hub-signature": "sha1={sha1}"}),
        # https://docs.lemonsqueezy.com/help/webhooks/signing-requests
        ("lemonsqueezy", {"x-signature": "{hex}"}),
        # https://segment.com/docs/connections/destinations/catalog/webhooks/
        ("segment", {"x-signature": "{sha1}"}),
        # https://auth0.com/docs/customize/events
        ("auth0-events", {"authorization": "Bearer {secret}"}),
    ],
)
def test_headers_look_as_their_pages_describe_them(preset: str, headers: dict[str, str]) -> None:
    digest = hmac.digest(SECRET.encode(), BODY, "sha256")
    texts = {
        "secret": SECRET,
        "hex": digest.hex(),
        "base64": base64.b64encode(digest).decode(),
        "sha1": hmac.digest(SECRET.encode(), BODY, "sha1").hex(),
    }
    given = {name: value.format(**texts) for name, value in headers.items()}
    a_source(PRESETS[preset]["verify"], SECRET).verify(request(headers=given), NOW)
