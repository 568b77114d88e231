"""One session of the scripted agent: its store, its settings, and what it says to the client."""

import re
from collections.abc import Mapping
from typing import Any

from scripted.rpc import Params, Peer
from scripted.store import SessionStore

DEFAULT_CONFIG = {"model": "scripted-1", "mode": "default"}
_CHOICES = {
    "model": {"scripted-1": "Scripted 1", "scripted-2": "Scripted 2"},
    "mode": {
        "default": "Asks where the script says so",
        "strict": "Asks for every tool",
        "bypass": "Never asks",
    },
}
_PERMISSION_OPTIONS = [
    {"optionId": "opt-a", "name": "Allow", "kind": "allow_once"},
    {"optionId": "opt-b", "name": "Always allow", "kind": "allow_always"},
    {"optionId": "opt-c", "name": "Reject", "kind": "reject_once"},
]


def is_choice(config_id: str, value: str) -> bool:
    return value in _CHOICES.get(config_id, {})


class Session:
    def __init__(
        self,
        *,
        session_id: str,
        cwd: str,
        store: SessionStore,
        servers: Mapping[str, str],
        peer: Peer,
        forms: bool,
    ) -> None:
        """`servers`: of tools, by name."""
        self.session_id = session_id
        self.servers = servers
        self.cwd = cwd
        self.store = store
        self.config = dict(DEFAULT_CONFIG)
        """Not kept over a restart, as one of the real agents does: a client has to set it again."""
        self._peer = peer
        self._forms = forms
        self._messages = 0

    def config_options(self) -> list[Params]:
        return [
            {
                "id": config_id,
                "name": config_id.capitalize(),
                "category": config_id,
                "type": "select",
                "currentValue": self.config[config_id],
                "options": [{"value": value, "name": name} for value, name in choices.items()],
            }
            for config_id, choices in _CHOICES.items()
        ]

    async def update(self, kind: str, /, **fields: Any) -> None:  # noqa: ANN401 - any JSON
        params = {"sessionId": self.session_id, "update": {"sessionUpdate": kind, **fields}}
        await self._peer.notify("session/update", params)

    def next_message_id(self) -> str:
        self._messages += 1
        return f"msg_{self._messages}"

    async def chunk(self, kind: str, text: str, *, message_id: str) -> None:
        content = {"type": "text", "text": text}
        await self.update(kind, content=content, messageId=message_id)

    async def permission(self, call: Params) -> str:
        """The kind of the option that was chosen, or `cancelled`."""
        answer = await self._peer.request(
            "session/request_permission",
            {"sessionId": self.session_id, "toolCall": call, "options": _PERMISSION_OPTIONS},
        )
        outcome = answer["outcome"]
        kinds = {option["optionId"]: option["kind"] for option in _PERMISSION_OPTIONS}
        return kinds.get(outcome.get("optionId", ""), "cancelled")

    async def form(self, message: str, schema: Params) -> Params | None:
        """The client's answer, or None if it cannot show a form."""
        if not self._forms:
            return None
        return await self._peer.request(
            "elicitation/create",
            {
                "sessionId": self.session_id,
                "mode": "form",
                "message": message,
                "requestedSchema": schema,
            },
        )

    async def replay(self) -> None:
        """The history as updates, for `session/load`."""
        for record in self.store.records():
            match record["type"]:
                case "user":
                    await self._replay_text("user_message_chunk", record["text"])
                case "agent":
                    await self._replay_text("agent_message_chunk", record["text"])
                case "tool_call":
                    await self.update(
                        "tool_call", toolCallId=record["id"], title=record["title"],
                        kind=record["kind"], status="pending", rawInput=record["raw_input"],
                    )  # fmt: skip
                case "tool_result":
                    await self.update(
                        "tool_call_update", toolCallId=record["id"], status=record["status"]
                    )
                case _:
                    pass

    async def _replay_text(self, kind: str, text: str) -> None:
        await self.chunk(kind, text, message_id=self.next_message_id())


def pieces(text: str, *, chunks: int) -> list[str]:
    """Words by default, or that many pieces of about equal length."""
    if chunks <= 0:
        return re.findall(r"\s*\S+\s*", text) or ([text] if text else [])
    size = max(1, -(-len(text) // chunks))
    return [text[start : start + size] for start in range(0, len(text), size)]
