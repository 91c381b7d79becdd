"""What the name of a header or parameter says: does it carry a credential?"""

from __future__ import annotations

import pytest

from router.ruleset.secret_keys import credentials_in, is_secret_key, is_secret_name

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


@pytest.mark.parametrize("name", ["key", "Secret", "my_secret", "api_key", "bearer", "X-Api-Key", "x-hmac"])
def test_what_stands_under_a_key_for_secrets_is_repeated_nowhere(name: str) -> None:
    assert is_secret_key(name)


@pytest.mark.parametrize("name", ["sig_key", "auth", "value", "X-Tenant", "event-key"])
def test_of_our_own_keys_only_those_of_secrets_are(name: str) -> None:
    assert not is_secret_key(name)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://x.io/p/{user}?v=2#top", []),
        ("https://x.io/@{user}?mail=a@b.io", []),
        ("https://x.io?key={user}&token=&sig", []),
        ("https://ann:hunter2@x.io/p", ["ann:hunter2"]),
        ("https://ann@x.io", ["ann"]),
        ("https://ann:hunt@er2@x.io", ["ann:hunt@er2"]),
        ("https:/ann:hunter2@x.io", ["ann:hunter2"]),
        ("ann:hunter2@x.io/p", ["ann:hunter2"]),
        ("https://x.io/p?token=abc&u={user}", ["abc"]),
        ("https://x.io/p?u={user}&api%5Fkey=a{user};sig=b#access_token=c", ["a{user}", "b", "c"]),
        ("https://u:p@x.io/p?apiKey=abc", ["u:p", "abc"]),
    ],
)
def test_credentials_in_a_url_are_found_at_their_places(url: str, found: list[str]) -> None:
    assert [url[each.start : each.end] for each in credentials_in(url)] == found
