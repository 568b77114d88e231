"""A request to a provider: its path, its model, its headers, and what is made of its body. Pure.

Bodies pass as they are, with these exceptions. A chat completion that is streamed is asked for its
usage (`stream_options.include_usage`), or nothing could be metered; whoever asked then gets one
chunk more, without choices. Members of the outermost object are written once each: a second `model`
would be one that nobody checked. Refused are lists of further models, for the same reason, and a
response `in the background`: its usage would never pass here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.models import WireFormat

Lines = list[tuple[str, str]]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    wire_format: WireFormat
    booked: bool = True


MESSAGES = Way(path="/v1/messages", wire_format="messages")
COUNT_TOKENS = Way(path="/v1/messages/count_tokens", wire_format="messages", booked=False)
"""Passed and not booked: it makes nothing, and no provider takes anything for it."""
RESPONSES = Way(path="/v1/responses", wire_format="responses")
CHAT = Way(path="/v1/chat/completions", wire_format="chat")
EMBEDDINGS = Way(path="/v1/embeddings", wire_format="embeddings")

PATHS: Mapping[WireFormat, str] = {
    way.wire_format: way.path for way in (MESSAGES, RESPONSES, CHAT, EMBEDDINGS)
}


class Wanted:
    """Its content is taken once, and nobody keeps it: answers take minutes."""

    def __init__(self, model: str, content: bytes) -> None:
        self.model = model
        self.size = len(content)
        self._content = content

    def take(self) -> bytes:
        content, self._content = self._content, b""
        return content


SHORTEST_SECRET = 8

_FURTHER_MODELS = ("models", "fallbacks")
"""Some servers go through them when the first one does not answer."""

_Members = dict[str, msgspec.Raw]

_TO_PROVIDER = frozenset(
    {"accept", "user-agent", "idempotency-key", "openai-beta"}
    | {"anthropic-version", "anthropic-beta"}
)
"""Whatever else came, credentials and cookies first of all, stays here."""

_TO_CALLER = frozenset(
    {"content-type", "request-id", "retry-after", "retry-after-ms", "x-should-retry"}
)
_TO_CALLER_PREFIXES = ("anthropic-ratelimit-", "x-ratelimit-", "ratelimit-")


def wanted(way: Way, body: bytes) -> Wanted:
    """Raises `validation_failed`."""
    members = _decoded(body, _Members, "body", "a JSON object")
    model = _model(members)
    if way is RESPONSES and _flag(members, "background"):
        raise _wrong("background", "left out: answers are metered while they pass")
    if way is CHAT and _flag(members, "stream"):
        members = {**members, "stream_options": _with_usage(members)}
    return Wanted(model, msgspec.json.encode(members))


def to_provider(headers: Iterable[tuple[str, str]], auth: str, key: str) -> Lines:
    """Names are in lower case."""
    lines = [(name, value) for name, value in headers if name in _TO_PROVIDER]
    lines += [("content-type", "application/json"), ("accept-encoding", "identity")]
    own = ("x-api-key", key) if auth == "x-api-key" else ("authorization", f"Bearer {key}")
    return [*lines, own]


def holds(text: str, key: str) -> bool:
    """A key for a server that wants none may be any word."""
    return len(key) >= SHORTEST_SECRET and key in text


def to_caller(headers: Iterable[tuple[str, str]], key: str) -> Lines:
    """Without a line that holds the key. OpenAI's `x-request-id` is not passed: ours has the name;
    the call is booked with the provider's.
    """
    return [
        (name, value)
        for name, value in ((name.lower(), value) for name, value in headers)
        if (name in _TO_CALLER or name.startswith(_TO_CALLER_PREFIXES)) and not holds(value, key)
    ]


def _model(members: _Members) -> str:
    others = [name for name in members if name != "model" and name.casefold() == "model"]
    if others:  # some servers read names without regard to case
        raise _wrong(others[0], "left out: the model is named in `model`")
    for name in _FURTHER_MODELS:
        if name in members:
            raise _wrong(name, "left out: a call names one model, which is checked")
    if "model" not in members:
        raise _wrong("model", "the name of a model")
    return _decoded(members["model"], str, "model", "the name of a model")


def _flag(members: _Members, name: str) -> bool:
    if name not in members:
        return False
    return _decoded(members[name], bool | None, name, "true or false") or False


def _with_usage(members: _Members) -> msgspec.Raw:
    raw = members.get("stream_options", msgspec.Raw(b"{}"))
    options: _Members = _decoded(raw, _Members | None, "stream_options", "a JSON object") or {}
    return msgspec.Raw(msgspec.json.encode({**options, "include_usage": msgspec.Raw(b"true")}))


def _decoded(raw: bytes | msgspec.Raw, kind: Any, field: str, expected: str) -> Any:  # noqa: ANN401 # the asked type's
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(field, expected) from error


def _wrong(field: str, expected: str) -> BerthError:
    return BerthError(
        Code.VALIDATION, f"{field}: expected {expected}", field=field, expected=expected
    )
