"""The web process: takes webhooks, and says whether it can. Knows sources only; rules are the worker's."""

from router.web.app import create_app

__all__ = ["create_app"]
