"""Channel.io Open API, locally: people by member id and by Channel's id, v4 and v5.

API     https://developers.channel.io/docs/upsert-a-user-by-memberid (v4), …-memberid-1 (v5)
Auth    x-access-key and x-access-secret, both
Limits  a bucket per channel; `x-ratelimit-reset` is the second since 1970 at which it is full again
Quirk   a literal `@` before the member id, which is percent-encoded; `tags` are replaced whole

Not a word is documented about errors, so their bodies are ours. Where the documents are silent this server chose:
* the bucket holds 1,000 calls and is filled every 10 s; the setting `grace` lets that many more pass in each, marked;
* null clears a profile key; null in `profileOnce` does nothing; `profile` is written before `profileOnce`;
* more tags than 10 (v4) or 20 (v5), repeated tags, a flag that is no boolean and a nested object are refused with 400;
* an unknown field, misspelt or of the other version, is ignored; v4 stores `unsubscribed` and the two newer flags;
* `%40` is not the `@`; member ids are told apart by case; UTM and referrer keys keep their first value;
* with the setting `api_version` only that version is served, else both. Leads (`POST …/users`) and `touch` are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from router.sandbox.api import (
    Answer,
    Api,
    Clock,
    Refusal,
    Request,
    SandboxDestination,
    Window,
    is_number,
    json_answer,
    media_type,
    read_json,
)

MOST_TAGS = {"v4": 10, "v5": 20}
FLAGS = {
    "v4": ("unsubscribed", "unsubscribeEmail", "unsubscribeTexting"),
    "v5": ("unsubscribeEmail", "unsubscribeTexting", "blocked"),
}
TEXT_KEYS = frozenset(["name", "email", "mobileNumber", "landlineNumber", "avatarUrl", "firstName", "lastName"])
FIRST_VALUE_KEYS = frozenset(["utmSource", "utmMedium", "utmCampaign", "utmTerm", "utmContent", "referrer"])
_E164 = re.compile(r"\+[1-9][0-9]{6,14}\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def refused(status: int, message: str) -> Refusal:
    """A refusal; the shape of the body is not documented."""
    return Refusal(json_answer(status, {"type": "sandbox", "status": status, "message": message}))


@dataclass
class State:
    """Everybody in one channel."""

    #: member id → the person
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Channel's id → member id
    members: dict[str, str] = field(default_factory=dict)
    born: int = 0


class Channel(Api):
    """One channel."""

    kind = "channel"
    required = ("key", "secret")
    state: State

    def __init__(self, destination: SandboxDestination, clock: Clock) -> None:
        super().__init__(destination, clock)
        self.state = State()
        version = self.settings.get("api_version")
        self._versions = (version,) if version else ("v4", "v5")
        limit = 1_000 if destination.limit is None else destination.limit
        self._grace = int(self.settings.get("grace", 0)) if limit else 0
        self._shown_limit = limit
        self._bucket = Window(limit + self._grace, destination.window_s or 10.0, clock)

    # --- the whole of a request ---------------------------------------------------------------------------------

    def respond(self, request: Request) -> Answer:
        if (request.headers.get("x-access-key"), request.headers.get("x-access-secret")) != (
            str(self.settings["key"]),
            str(self.settings["secret"]),
        ):
            raise refused(401, "x-access-key or x-access-secret is wrong")
        passed = self._bucket.take()
        try:
            answer = self._routed(request) if passed else self.failure(429)
        except Refusal as refusal:
            answer = refusal.answer
        return replace(answer, headers={**answer.headers, **self._limit_headers()})

    def _limit_headers(self) -> dict[str, str]:
        if not self._shown_limit:
            return {}
        left = self._bucket.remaining - self._grace
        headers = {
            "x-ratelimit-limit": str(self._shown_limit),
            "x-ratelimit-remaining": str(max(0, left)),
            "x-ratelimit-reset": str(-int(-self._bucket.resets_at // 1)),
        }
        if left < 0:
            headers["x-ratelimit-will-be-throttled"] = "true"
        return headers

    def _routed(self, request: Request) -> Answer:
        parts = request.path.split("/")
        if len(parts) not in (5, 6) or parts[:2] != ["", "open"] or parts[3] != "users":
            raise refused(404, "no such resource")
        version, segment = parts[2], parts[4]
        if version not in self._versions:
            raise refused(404, f"{version} is not served here")
        if len(parts) == 6:
            if parts[5] != "block" or segment.startswith("@"):
                raise refused(404, "no such resource")
            return self._block(request, version, self._member_of(_decoded(segment)))
        if not segment:
            raise refused(404, "no such resource")
        if segment.startswith("@"):
            member = _decoded(segment[1:])
            if not member:
                raise refused(404, "the member id is empty")
            return self._person(request, version, member, by_member=True)
        return self._person(request, version, self._member_of(_decoded(segment)), by_member=False)

    def _member_of(self, channel_id: str) -> str:
        member = self.state.members.get(channel_id)
        if member is None:
            raise refused(404, "no such user")
        return member

    def _person(self, request: Request, version: str, member: str, *, by_member: bool) -> Answer:
        if request.method == ("PUT" if by_member else "PATCH"):
            return self._write(version, member, _body(request))
        user = self.state.users.get(member)
        if request.method == "GET":
            if user is None:
                raise refused(404, "no such user")
            return _shown(user, version)
        if request.method == "DELETE":
            if user is None:
                raise refused(404, "no such user")
            del self.state.users[member], self.state.members[user["id"]]
            return json_answer(200, {}, applied=True)
        raise refused(405, "method not allowed")

    def _block(self, request: Request, version: str, member: str) -> Answer:
        if request.method not in ("POST", "DELETE"):
            raise refused(405, "method not allowed")
        user = self.state.users[member]
        user["blocked"] = request.method == "POST"
        return replace(_shown(user, version), applied=True)

    # --- writing ------------------------------------------------------------------------------------------------

    def _write(self, version: str, member: str, body: Mapping[str, Any]) -> Answer:
        profile, once = _map_of(body, "profile"), _map_of(body, "profileOnce")
        tags = _tags(body, MOST_TAGS[version])
        flags = {name: body[name] for name in FLAGS[version] if name in body}
        if not all(isinstance(value, bool) for value in flags.values()):
            raise refused(400, f"{', '.join(flags)}: true or false")
        if not isinstance(body.get("language", ""), str):
            raise refused(400, "language must be a string")
        now = int(self.clock() * 1000)
        user = self.state.users.get(member) or self._create(member, now)
        held = user["profile"]
        for name, value in profile.items():
            if name == "empty" or (name in FIRST_VALUE_KEYS and name in held):
                continue
            if value is None:
                held.pop(name, None)
            else:
                held[name] = value
        for name, value in once.items():
            if name != "empty" and value is not None and name not in held:
                held[name] = value
                user["profileOnce"][name] = value
        if tags is not None:
            user["tags"] = tags
        user.update(flags)
        if "language" in body:
            user["language"] = body["language"]
        user["updatedAt"] = now
        user["version"] += 1
        return replace(_shown(user, version), applied=True)

    def _create(self, member: str, now: int) -> dict[str, Any]:
        self.state.born += 1
        channel_id = f"{self.state.born:020x}"
        user = {
            "id": channel_id,
            "channelId": "sandbox",
            "memberId": member,
            "profile": {},
            "profileOnce": {},
            "tags": [],
            "unsubscribed": False,
            "unsubscribeEmail": False,
            "unsubscribeTexting": False,
            "blocked": False,
            "language": "en",
            "createdAt": now,
            "updatedAt": now,
            "version": 0,
        }
        self.state.users[member] = user
        self.state.members[channel_id] = member
        return user

    # --- for the sandbox itself ---------------------------------------------------------------------------------

    def held(self, profile: str) -> dict[str, Any] | None:
        return self.state.users.get(profile)

    def edit(self, profile: str, values: Mapping[str, Any]) -> bool:
        user = self.state.users.get(profile)
        if user is not None:
            user["profile"].update(values.get("profile", {}))
            user.update({name: value for name, value in values.items() if name != "profile"})
        return user is not None

    def profiles(self, request: Request) -> Sequence[str]:
        parts = request.path.split("/")
        if len(parts) < 5:
            return ()
        if parts[4].startswith("@"):
            return [unquote(parts[4][1:])]
        return [self.state.members.get(unquote(parts[4]), "")]

    def failure(self, status: int, wait_s: float | None = None) -> Answer:
        if status == 200:
            return json_answer(200, {"type": "sandbox", "status": 422, "message": "refused by the sandbox"})
        answer = refused(status, "too many requests" if status == 429 else "answered by the sandbox").answer
        if status != 429:
            return answer
        resets_at = self.clock() + wait_s if wait_s is not None else self._bucket.resets_at
        limits = {"x-ratelimit-limit": str(self._shown_limit or 1_000), "x-ratelimit-remaining": "0"}
        return replace(answer, headers={**answer.headers, **limits, "x-ratelimit-reset": str(-int(-resets_at // 1))})


def _decoded(segment: str) -> str:
    """A path segment, percent-decoded once. 400 if an escape is damaged or is not UTF-8."""
    if _BAD_ESCAPE.search(segment):
        raise refused(400, "damaged percent-encoding")
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise refused(400, "the path is not UTF-8") from None


def _body(request: Request) -> dict[str, Any]:
    if media_type(request) != "application/json":
        raise refused(415, "use application/json")
    try:
        body = read_json(request.body)
    except ValueError:
        raise refused(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise refused(400, "the body must be an object")
    return body


def _map_of(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    given = body.get(name, {})
    if not isinstance(given, dict):
        raise refused(400, f"{name} must be an object")
    for key, value in given.items():
        if value is None:
            continue
        good = (
            isinstance(value, str)
            if key in TEXT_KEYS
            else isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
            if key == "recentPurchaseCount"
            else is_number(value)
            if key == "recentPurchaseAmount"
            else not isinstance(value, dict) and not (isinstance(value, list) and any(_nested(v) for v in value))
        )
        if not good:
            raise refused(400, f"{name}.{key} has a wrong type")
    return given


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _tags(body: Mapping[str, Any], most: int) -> list[str] | None:
    if "tags" not in body:
        return None
    tags = body["tags"]
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise refused(400, "tags must be a list of strings")
    if len(tags) > most or len(set(tags)) < len(tags):
        raise refused(400, f"tags: at most {most}, each once")
    return tags


def _shown(user: Mapping[str, Any], version: str) -> Answer:
    """The answer to GET and to writes: the person as this version words it."""
    profile = user["profile"]
    shown = {name: value for name, value in user.items() if name not in ("unsubscribed", "profileOnce")}
    shown.update({name: profile[name] for name in ("name", "email", "avatarUrl", "mobileNumber") if name in profile})
    shown["member"] = True
    if version == "v4":
        shown |= {"unsubscribed": user["unsubscribed"], "profileOnce": user["profileOnce"]}
    else:
        mobile = profile.get("mobileNumber")
        shown["type"] = "member"
        shown["mobileNumberQualified"] = isinstance(mobile, str) and _E164.match(mobile) is not None
        shown["emailQualified"] = "@" in str(profile.get("email", ""))
    online = {"channelId": user["channelId"], "personType": "user", "personId": user["id"], "id": user["id"]}
    return json_answer(200, {"user": shown, "online": online})
