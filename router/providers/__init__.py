"""The providers, in an explicit table: the word in `provider:` → its class."""

from __future__ import annotations

from router.providers.base import Provider
from router.providers.channel import Channel
from router.providers.engagelab import EngageLab
from router.providers.http_api import Http
from router.providers.moengage import MoEngage
from router.providers.moesif import Moesif

PROVIDERS: dict[str, type[Provider]] = {
    provider.name: provider for provider in (MoEngage, EngageLab, Channel, Moesif, Http)
}

__all__ = ["PROVIDERS", "Provider"]
