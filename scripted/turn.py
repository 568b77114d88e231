"""One turn of the scripted agent: the steps of its script, each recorded in the session's store
when it is complete.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from scripted import shell
from scripted.effect import leave_mark
from scripted.model_call import ModelFailed, spoken
from scripted.rpc import INTERNAL_ERROR, Params, RpcError
from scripted.script import Question, Step, Usage, action_of
from scripted.served_tool import NotServed, served
from scripted.session import Session, pieces
from scripted.tool_call import ToolCall, ToolOutcome, text_content

CONTEXT_SIZE = 200_000
RECORDED_OUTPUT = 10_000


class Turn:
    def __init__(self, session: Session, *, stubborn: Callable[[], None]) -> None:
        """`stubborn` is called when the agent is to outlive a closed stdin."""
        self._session = session
        self._store = session.store
        self._stubborn = stubborn
        self._usage = Usage()
        self._index = 0
        self._actions: dict[str, Callable[[Step], Awaitable[None]]] = {
            "think": self._think, "text": self._text, "plan": self._plan, "write": self._write,
            "shell": self._shell, "ask_user": self._ask_user, "remember": self._remember,
            "recall": self._recall, "sleep": self._sleep, "crash": self._crash, "hang": self._hang,
            "ignore_sigterm": self._ignore_sigterm, "stderr": self._stderr, "usage": self._count,
            "error": self._error, "effect": self._effect, "model": self._model,
            "tool": self._tool, "raw": self._raw,
        }  # fmt: skip

    async def run(self, steps: list[Step], *, start: int = 0) -> Params:
        """The prompt's result. On a cancel nothing more is sent: an open tool call stays open, as
        with real agents.
        """
        for index in range(start, len(steps)):
            self._index = index
            step = steps[index]
            if step.stop_reason is not None:
                return self._end(step.stop_reason)
            await self._actions[action_of(step)](step)
            self._store.append("step_done", index=index)
        return self._end("end_turn")

    def _end(self, stop_reason: str) -> Params:
        self._store.append("turn_end", stop_reason=stop_reason)
        used = self._usage
        total = used.input + used.output
        usage = {
            "totalTokens": total,
            "inputTokens": used.input,
            "outputTokens": used.output,
        }
        return {"stopReason": stop_reason, **({"usage": usage} if total else {})}

    # Text

    async def _think(self, step: Step) -> None:
        await self._stream("agent_thought_chunk", step.think or "", step)

    async def _text(self, step: Step) -> None:
        await self._say(step.text or "", step)

    async def _say(self, text: str, step: Step) -> None:
        await self._stream("agent_message_chunk", text, step)
        self._store.append("agent", text=text)

    async def _stream(self, kind: str, text: str, step: Step) -> None:
        message_id = self._session.next_message_id()
        for piece in pieces(text, chunks=step.chunks):
            await self._session.chunk(kind, piece, message_id=message_id)
            if step.delay:
                await asyncio.sleep(step.delay)

    async def _model(self, step: Step) -> None:
        if (call := step.model) is None:
            return
        said, failed, message_id = "", None, self._session.next_message_id()
        try:
            async for text in spoken(call, session_id=self._session.session_id):
                said += text
                await self._session.chunk("agent_message_chunk", text, message_id=message_id)
        except ModelFailed as error:
            failed = error
        self._store.append("agent", text=said)
        if failed is not None and not call.ignore_cut:
            # no end is recorded: who is told to go on makes the call again
            raise RpcError(INTERNAL_ERROR, str(failed), failed.told) from failed

    async def _plan(self, step: Step) -> None:
        entries = [
            {"content": entry.content, "status": entry.status, "priority": entry.priority}
            for entry in step.plan or []
        ]
        await self._session.update("plan", entries=entries)

    async def _raw(self, step: Step) -> None:
        fields = dict(step.raw or {})
        await self._session.update(fields.pop("sessionUpdate"), **fields)

    async def _count(self, step: Step) -> None:
        used = step.usage or Usage()
        self._usage = Usage(self._usage.input + used.input, self._usage.output + used.output)
        cost: Params = {}
        if used.cost is not None:
            cost = {"cost": {"amount": used.cost, "currency": "USD"}}
        total = self._usage.input + self._usage.output
        await self._session.update("usage_update", used=total, size=CONTEXT_SIZE, **cost)

    # Tools

    async def _write(self, step: Step) -> None:
        if (wanted := step.write) is None:
            return
        target = Path(self._session.cwd) / wanted.path
        old = target.read_text() if target.is_file() else None

        async def write() -> ToolOutcome:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(wanted.content)
            diff: Params = {
                "type": "diff",
                "path": str(target),
                "oldText": old,
                "newText": wanted.content,
            }
            return ToolOutcome("completed", [diff], f"wrote {wanted.path}")

        raw_input = {"file_path": str(target), "content": wanted.content}
        await self._call(ToolCall(f"Write {wanted.path}", "edit", raw_input, write), ask=step.ask)

    async def _shell(self, step: Step) -> None:
        command = step.shell or ""

        async def run() -> ToolOutcome:
            runner = shell.detach if step.detach else shell.run
            result = await runner(command, cwd=self._session.cwd)
            status = "completed" if result.exit_code == 0 else "failed"
            raw_output = {"output": result.output, "exit_code": result.exit_code}
            return ToolOutcome(status, text_content(result.output), raw_output)

        await self._call(ToolCall(command, "execute", {"command": command}, run), ask=step.ask)

    async def _effect(self, step: Step) -> None:
        if (effect := step.effect) is None:
            return

        async def happen() -> ToolOutcome:
            await asyncio.to_thread(leave_mark, effect)
            return ToolOutcome("completed", text_content(effect.key), effect.key)

        raw_input = {"key": effect.key}
        await self._call(ToolCall(f"Effect {effect.key}", "other", raw_input, happen), ask=step.ask)

    async def _tool(self, step: Step) -> None:
        if (use := step.tool) is None:
            return

        async def run() -> ToolOutcome:
            try:
                said, wrong = await served(use, self._session.servers)
            except NotServed as error:
                said, wrong = str(error), True
            return ToolOutcome("failed" if wrong else "completed", text_content(said), said)

        await self._call(ToolCall(use.name, "other", use.arguments, run), ask=step.ask)

    async def _call(self, call: ToolCall, *, ask: bool) -> None:
        call_id = f"call_{self._store.tool_calls + 1}"
        self._store.append(
            "tool_call", id=call_id, title=call.title, kind=call.kind, raw_input=call.raw_input
        )
        described: Params = {
            "toolCallId": call_id,
            "title": call.title,
            "kind": call.kind,
            "rawInput": call.raw_input,
        }
        await self._session.update("tool_call", status="pending", **described)
        if self._asks(call.kind, ask=ask) and not await self._allowed(described):
            refused = "User refused permission to run tool"
            outcome = ToolOutcome("failed", text_content(refused), refused)
        else:
            await self._session.update("tool_call_update", toolCallId=call_id, status="in_progress")
            outcome = await call.run()
        await self._result(call_id, outcome)

    def _asks(self, kind: str, *, ask: bool) -> bool:
        mode = self._session.config["mode"]
        granted = any(r["type"] == "grant" and r["kind"] == kind for r in self._store.records())
        return mode != "bypass" and (ask or mode == "strict") and not granted

    async def _allowed(self, described: Params) -> bool:
        chosen = await self._session.permission(described)
        if chosen == "allow_always":
            self._store.append("grant", kind=described["kind"])
        return chosen in {"allow_once", "allow_always"}

    async def _result(self, call_id: str, outcome: ToolOutcome) -> None:
        recorded = json.dumps(outcome.raw_output)[:RECORDED_OUTPUT]
        self._store.append(
            "tool_result", id=call_id, status=outcome.status, output=recorded, index=self._index
        )
        await self._session.update(
            "tool_call_update",
            toolCallId=call_id,
            status=outcome.status,
            content=outcome.content,
            rawOutput=outcome.raw_output,
        )

    # The person and the memory

    async def _ask_user(self, step: Step) -> None:
        asked = step.ask_user
        question = asked if isinstance(asked, Question) else Question(str(asked))
        schema = question.schema or {
            "type": "object",
            "properties": {"answer": {"type": "string", "title": question.message}},
            "required": ["answer"],
        }
        answer = await self._session.form(question.message, schema)
        if answer is None:
            await self._say("I cannot ask here: the client shows no forms.\n", step)
        elif answer["action"] == "accept":
            await self._say(f"You answered {json.dumps(answer.get('content'))}.\n", step)
        else:
            await self._say("You did not answer.\n", step)

    async def _remember(self, step: Step) -> None:
        if step.remember is not None:
            self._store.append("memory", key=step.remember.key, value=step.remember.value)
            await self._say(f"I will remember {step.remember.key}.\n", step)

    async def _recall(self, step: Step) -> None:
        key = step.recall or ""
        value = self._store.memory.get(key)
        said = f"{key} is {value}\n" if value is not None else f"I do not remember {key}.\n"
        await self._say(said, step)

    # Trouble

    async def _sleep(self, step: Step) -> None:
        await asyncio.sleep(step.sleep or 0)

    async def _crash(self, step: Step) -> None:
        if self._due(step):
            os._exit(step.crash or 0)

    async def _hang(self, step: Step) -> None:
        if not self._due(step):
            return
        if step.hang == "deaf":
            self._stubborn()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if step.hang != "deaf":
                    raise

    def _due(self, step: Step) -> bool:
        if step.once is not None:
            try:
                Path(step.once).touch(exist_ok=False)
            except FileExistsError:
                return False
        if not step.always:
            self._store.append("step_done", index=self._index)
        return True

    async def _ignore_sigterm(self, _step: Step) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    async def _stderr(self, step: Step) -> None:
        sys.stderr.buffer.write(b"e" * (step.stderr or 0))
        sys.stderr.buffer.flush()

    async def _error(self, step: Step) -> None:
        if (failure := step.error) is not None:
            self._store.append("turn_end", stop_reason="error")
            raise RpcError(failure.code, failure.message, failure.data)
