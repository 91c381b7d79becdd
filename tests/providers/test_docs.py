"""Each provider has a page, and the page names what the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.providers import PROVIDERS

PAGES = Path(__file__).parents[2] / "docs" / "providers"


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_page_names_every_setting_error_code_and_trick(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text("utf-8")
    provider = PROVIDERS[name]
    words = [
        *provider.Account().fields,
        *provider.errors,
        *provider.abilities.clear_tricks,
        *provider.own_names.values(),
    ]
    assert [word for word in words if word not in page] == []
    assert provider.docs_url in page


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_page_names_every_place_that_a_rule_can_write(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text("utf-8")
    hidden = {"type", "customer_id", "user_id", "unset_attributes"}
    assert [field for field in PROVIDERS[name].Body().fields if field not in hidden and f"`{field}" not in page] == []


@pytest.mark.parametrize("name", PROVIDERS)
def test_advice_says_what_to_do_or_that_it_is_tried_again(name: str) -> None:
    for code, advice in PROVIDERS[name].errors.items():
        assert advice.meaning, code
        assert advice.action or advice.retry, code
        assert advice.url.startswith("https://"), code


def test_the_table_is_keyed_by_the_word_in_the_settings() -> None:
    assert list(PROVIDERS) == ["moengage", "engagelab", "channel", "moesif", "http"]
    assert all(provider.name == word and provider.label for word, provider in PROVIDERS.items())
