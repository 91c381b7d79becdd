"""Reads the data files of the providers: deltas, replies and accounts out of YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from router.model import Delta, Instant, Op, OpKind, Outcome, Reply, TagsDelta, to_us
from router.providers import PROVIDERS
from router.providers.base import Options, Provider
from router.settings import Secret

HERE = Path(__file__).parent
FILES: dict[str, dict[str, Any]] = {
    name: yaml.safe_load((HERE / f"{name}.yaml").read_text("utf-8")) for name in PROVIDERS
}
#: when canned replies were read: 2025-11-22T05:00:00Z
RECEIVED_AT = 1763787600.0
BROKEN_SECRET = "line\nbreak"


def reveal(secret: Secret) -> str:
    """Secrets of tests: `$env.T_KEY` is `secret-KEY`."""
    name = secret.reference.removeprefix("$env.T_")
    return BROKEN_SECRET if name == "BROKEN" else f"secret-{name}"


def provider_of(data: Mapping[str, Any], case: Mapping[str, Any] | None = None) -> Provider:
    """A provider of a data file, with what a case lays over account and options (null takes out)."""
    case = case or {}
    kind = PROVIDERS[data["provider"]]
    account = {k: v for k, v in {**data["account"], **case.get("account", {})}.items() if v is not None}
    if "method" in case:
        account["method"] = case["method"]
    options = Options(**{**data["options"], **case.get("options", {})})
    loaded = kind.Account().load(account)
    if "success_if" in case:
        loaded["success_if"] = lambda body: body.get(case["success_if"])
    return kind(loaded, options, str if case.get("trace") else reveal)


def value_of(value: Any) -> Any:
    """A value of a data file, with its `$` shorthands."""
    if isinstance(value, list):
        return [value_of(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$time" in value:
        return Instant(to_us(datetime.fromisoformat(value["$time"])))
    if "$repeat" in value:
        return value["$repeat"][0] * value["$repeat"][1]
    if "$wide" in value:
        return {f"k{number}": number for number in range(value["$wide"])}
    if "$tags" in value:
        return [f"t{number:02d}" for number in range(value["$tags"])]
    if "$surrogate" in value:
        return "\ud800"
    return {key: value_of(item) for key, item in value.items()}


def fields_of(data: Mapping[str, Any], kind: OpKind) -> dict[str, Op]:
    found: dict[str, Op] = {}
    for name, value in data.items():
        if name == "$many":
            found.update({f"f{number}": Op(kind, "x" * value[1]) for number in range(value[0])})
        else:
            found[name] = Op(kind, value_of(value))
    return found


def delta_of(data: Mapping[str, Any]) -> Delta:
    tags = data.get("tags")
    occurred = data.get("occurred_at")
    return Delta(
        profile=value_of(data.get("profile", "u_1001")),
        fields={
            **fields_of(data.get("set", {}), OpKind.SET),
            **fields_of(data.get("once", {}), OpKind.ONCE),
            **{name: Op(OpKind.UNSET) for name in data.get("unset", [])},
        },
        tags=None if tags is None else TagsDelta(**{key: tuple(value_of(value)) for key, value in tags.items()}),
        held=value_of(data.get("held", {})),
        provider_handle=data.get("handle"),
        occurred_us=0 if occurred is None else to_us(datetime.fromisoformat(occurred)),
    )


def reply_of(data: Mapping[str, Any]) -> Reply:
    body = json.dumps(data["json"]) if "json" in data else data.get("text", "")
    return Reply(
        data.get("status", 200),
        data.get("headers", {}),
        body.encode("utf-8", "surrogatepass"),
        framed=data.get("framed", True),
        received_at=RECEIVED_AT,
    )


def facts_of(outcome: Outcome, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Those properties of an outcome that a case names."""
    return {name: str(outcome.kind) if name == "kind" else getattr(outcome, name) for name in wanted}
