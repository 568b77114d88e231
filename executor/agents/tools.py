"""One tool call of an agent, put together from its updates."""

import hashlib
from typing import Any, Literal, cast

import msgspec

from contracts.tool_events import ToolCall, ToolDiff, ToolResult, ToolUpdate
from executor.agents.profile import WrittenFile
from executor.agents.text import MAX_TEXT, MAX_TITLE, bounded, clean, clean_value, cut
from executor.agents.updates import Tool, ToolContent

TOOL_KINDS = frozenset(
    {"read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode"}
)
Status = Literal["completed", "failed", "canceled"]


class OpenCall:
    """Output comes in three shapes: Codex streams it beside the protocol, Claude and OpenCode send
    it as `rawOutput` and again as content, others as content alone. The first that is there counts.
    """

    def __init__(self, call_id: str, written_file: WrittenFile | None = None) -> None:
        self.described = ToolCall(call_id=call_id, title="")
        """With the title and input that were told last."""
        self._call_id = call_id
        self._written_file = written_file
        self._raw_input: Any = None
        self._status = "pending"
        self._diffs: list[ToolDiff] = []
        self._told_diffs: list[list[str | None]] = []
        """Uncut."""
        self._told_texts: list[str] = []
        self._streamed: list[str] = []
        self._streamed_length = 0
        self._raw_output: Any = None
        self._content_text = ""
        self._exit_code: int | None = None

    def begin(self, tool: Tool) -> ToolCall:
        """Agents that send the input later start with an empty one."""
        self._status = tool.status or "pending"
        self.described = ToolCall(
            call_id=self._call_id,
            title=_title(tool.title or tool.name),
            tool=_title(tool.name),
            tool_kind=tool.kind if tool.kind in TOOL_KINDS else "other",
            input=bounded(tool.raw_input) if tool.raw_input else None,
            paths=[clean(place.path) for place in tool.locations or [] if place.path],
        )
        return self.described

    def take(self, tool: Tool) -> ToolUpdate | ToolResult | None:
        """None if the update says nothing new."""
        delta = self._take_output(tool)
        if tool.status == "completed":
            return self.result("completed")
        if tool.status == "failed":
            return self.result("failed")
        title = self._changed_title(tool)
        self._told_texts = _texts(tool.content) or self._told_texts
        status = tool.status if tool.status not in {None, self._status} else None
        self._status = tool.status or self._status
        changed_input = self._changed_input(tool)
        diffs = self._changed_diffs(tool.content)
        if title is None and status is None and changed_input is None and not delta and not diffs:
            return None
        return ToolUpdate(
            call_id=self._call_id,
            title=title,
            status=status,
            input=changed_input,
            output_delta=delta,
            diffs=diffs,
        )

    @property
    def shown(self) -> Any:  # noqa: ANN401 - JSON
        """What a person decides on: the input, or what is told in its place."""
        if self.described.input is not None:
            return self.described.input
        told = {"diffs": msgspec.to_builtins(self._diffs), "text": "\n".join(self._told_texts)}
        return bounded({name: value for name, value in told.items() if value}) or None

    @property
    def digest(self) -> str:
        """Of all that is known of what it would do, uncut. A call of which nothing is known but its
        title is like no other.
        """
        bound: object = {"input": self._raw_input, "diffs": self._told_diffs}
        if not self._raw_input:
            bound = {"diffs": self._told_diffs, "texts": self._told_texts}
        if not (self._raw_input or self._told_diffs or self._told_texts):
            bound = {"title": self.described.title, "call": self._call_id}
        canonical = msgspec.json.encode(clean_value(bound), order="sorted")
        return hashlib.sha256(canonical).hexdigest()

    def result(self, status: Status) -> ToolResult:
        output, truncated = self._output()
        if status == "completed" and not self._diffs:
            self._diffs = self._written()
        return ToolResult(
            call_id=self._call_id,
            status=status,
            output=output,
            truncated=truncated,
            exit_code=self._exit_code,
            diffs=self._diffs,
        )

    def _changed_title(self, tool: Tool) -> str | None:
        title = _title(tool.title)
        if not title or title == self.described.title:
            return None
        self.described = msgspec.structs.replace(self.described, title=title)
        return title

    def _changed_input(self, tool: Tool) -> Any:  # noqa: ANN401 - JSON
        if not tool.raw_input:
            return None
        value = bounded(tool.raw_input)
        if value == self.described.input:
            return None
        self.described = msgspec.structs.replace(self.described, input=value)
        return value

    def _changed_diffs(self, content: list[ToolContent] | None) -> list[ToolDiff]:
        told = [[one.path, one.old_text, one.new_text] for one in content or [] if one.is_diff]
        self._told_diffs = told or self._told_diffs
        diffs = self._read_diffs(content)
        if not diffs or diffs == self._diffs:
            return []
        self._diffs = diffs
        return diffs

    @staticmethod
    def _read_diffs(content: list[ToolContent] | None) -> list[ToolDiff]:
        return [
            ToolDiff(
                path=clean(item.path),
                old_text=None if item.old_text is None else cut(item.old_text)[0],
                new_text=cut(item.new_text)[0],
            )
            for item in content or []
            if item.is_diff
        ]

    def _written(self) -> list[ToolDiff]:
        """From the input, for a tool that tells no diff of the file it wrote."""
        raw: object = self._raw_input
        if self._written_file is None or not isinstance(raw, dict):
            return []
        fields = cast("dict[str, Any]", raw)
        path, text = fields.get(self._written_file.path), fields.get(self._written_file.text)
        if not isinstance(path, str) or not isinstance(text, str):
            return []
        return [ToolDiff(path=clean(path), new_text=cut(text)[0])]

    def _take_output(self, tool: Tool) -> str:
        """What of the output is new, for a viewer."""
        if tool.raw_input:
            self._raw_input = tool.raw_input
        if tool.raw_output is not None:
            self._raw_output = tool.raw_output
        if tool.status in {"completed", "failed"}:
            self._diffs = self._read_diffs(tool.content) or self._diffs
        if tool.meta is not None and tool.meta.terminal_exit is not None:
            self._exit_code = tool.meta.terminal_exit.exit_code
        if tool.meta is not None and tool.meta.terminal_output_delta is not None:
            return self._stream(tool.meta.terminal_output_delta.data)
        if (tool.status or self._status) == "pending":
            return ""  # Claude describes a command there before it runs.
        return self._replace_content(tool.content)

    def _stream(self, data: str) -> str:
        room = max(0, MAX_TEXT - self._streamed_length)
        self._streamed_length += len(data)
        if room == 0:
            return ""
        self._streamed.append(data[:room])
        return clean(data[:room])

    def _replace_content(self, content: list[ToolContent] | None) -> str:
        texts = _texts(content)
        if not texts:
            return ""
        before, self._content_text = self._content_text, "\n".join(texts)
        if self._content_text.startswith(before):
            return cut(self._content_text[len(before) :])[0]
        return cut(self._content_text)[0]

    def _output(self) -> tuple[str, bool]:
        if self._streamed:
            output, _ = cut("".join(self._streamed))
            lost = self._streamed_length - MAX_TEXT
            if lost <= 0:
                return output, False
            return f"{output}\n[… {lost} more characters were cut]", True
        return cut(self._told_output())

    def _told_output(self) -> str:
        raw = self._raw_output
        if isinstance(raw, dict):
            fields = cast("dict[str, Any]", raw)
            self._exit_code = _exit_code(fields)
            raw = fields.get("output")
        if isinstance(raw, str):
            return raw
        if self._content_text or raw is None:
            return self._content_text
        return msgspec.json.encode(bounded(raw)).decode()


def _texts(content: list[ToolContent] | None) -> list[str]:
    return [item.content.text for item in content or [] if item.content is not None]


def _title(text: str | None) -> str:
    return cut(text or "", limit=MAX_TITLE)[0]


def _exit_code(fields: dict[str, Any]) -> int | None:
    metadata = fields.get("metadata")
    if isinstance(metadata, dict):
        fields = {**cast("dict[str, Any]", metadata), **fields}
    for name in ("exit_code", "exitCode", "exit"):
        if isinstance(fields.get(name), int):
            return int(fields[name])
    return None
