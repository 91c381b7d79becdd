"""The profile router: brings each provider's copy of a person to the state that webhooks describe."""

__version__ = "0.1.0"
