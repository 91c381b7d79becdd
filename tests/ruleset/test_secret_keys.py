"""What the name of a header or parameter says: does it carry a credential?"""

from __future__ import annotations

import pytest

from router.ruleset.secret_keys import is_secret_name

SECRET = """
    authorization cookie set-cookie proxy-authorization x-auth x-authentication x-oauth x-access-key x-api-key-id
    x-gitlab-token X-Hub-Signature-256 x-amz-security-token x-hmac x-shopify-hmac-sha256 x-jwt-assertion x-passwd
    x-credential x-credentials X-Api-Key DD-APPLICATION-KEY Ocp-Apim-Subscription-Key x-acme-key X-tOkEn x-key x-otp
    key sig sign auth pwd pass password token tokens api_key apiKey ApiKey APIKEY api_keys accessToken tokenId
    access_token client_secret X-Amz-Signature x-pass-word
"""
ORDINARY = """
    x-author x-authored-by x-authority x-keyboard x-monkey x-signal x-design x-tokyo x-secretary x-tokenizer
    x-event-key x-idempotency-key partition_key objectKey key-id x-shopify-topic x-shopify-shop-domain webhook-id
    x-request-id user-agent content-type digest sign-in-method x-pass-through tenant x y 1 _ -
"""


@pytest.mark.parametrize("name", SECRET.split())
def test_a_name_with_a_word_for_a_credential_is_one_of_a_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ORDINARY.split())
def test_a_word_that_only_holds_such_a_word_says_nothing(name: str) -> None:
    assert not is_secret_name(name)
