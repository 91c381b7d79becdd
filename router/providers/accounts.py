"""Pieces of account schemas: settings that are, or may be, references to secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from router.settings import Secret

_REFERENCE = re.compile(r"\$(?:env\.[A-Za-z_][A-Za-z0-9_]*|file\.\S+)")


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


class SecretSetting(fields.Field[Secret]):
    """A reference to a secret, `$env.NAME` or `$file.PATH`. It loads as `Secret`; a literal is refused."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"secret": True}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Secret:
        if isinstance(value, Secret):
            return value
        if _is_reference(value):
            return Secret(value)
        raise ValidationError("is a secret: write $env.NAME or $file.PATH")


class TextSetting(fields.Field[str | Secret]):
    """Text that may stand in the file or be a reference."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | Secret:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str) or not value.strip():
            raise ValidationError("is text, or a reference such as $env.NAME")
        return Secret(value) if _is_reference(value) else value


class UrlSetting(fields.String):
    """A URL that stands in the file as it is: without secrets."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(error_messages={"invalid": "is a URL that stands in the file as it is"}, **kwargs)


class HeadersSetting(fields.Field[dict[str, Any]]):
    """Headers by name, each a text or a reference to a secret."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValidationError("is a map of headers")
        return {name: Secret(each) if _is_reference(each) else each for name, each in value.items()}


class FlagSetting(fields.Field[bool]):
    """`true` or `false`, nothing else."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("is true or false")
        return value


def secrets_in(value: Any) -> list[Secret]:
    """Every reference in a value of settings, however deep it stands."""
    if isinstance(value, Secret):
        return [value]
    return [found for item in value.values() for found in secrets_in(item)] if isinstance(value, Mapping) else []
