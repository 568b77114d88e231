"""The API's client: every answer typed, every refusal a `Refused`."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

from cli.exits import CliError, Exit
from contracts.errors import RENDERINGS, Code, Problem

T = TypeVar("T")

TIMEOUT = httpx.Timeout(connect=5.0, read=75.0, write=30.0, pool=5.0)
"""`read` outlasts the longest `Prefer: wait` and several heartbeats of a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which installation, and as whom."""

    url: str
    key: str


class Refused(CliError):
    """The API's problem details."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(_words(problem), _exit_of(problem.status, problem.code))
        self.problem = problem


class Unreachable(CliError):
    def __init__(self, url: str, error: Exception) -> None:
        why = str(error) or type(error).__name__
        super().__init__(
            f"{url} cannot be reached: {why}. Start it with `berth up`, or name another one with "
            "--url or BERTH_URL.",
            Exit.UNREACHABLE,
        )


class ApiClient:
    def __init__(self, place: Place) -> None:
        self.url = place.url
        self.http = httpx.AsyncClient(
            base_url=place.url,
            headers={"Authorization": f"Bearer {place.key}"},
            timeout=TIMEOUT,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.http.aclose()

    async def get(self, path: str, answer: type[T], /, **query: object) -> T:
        params = {name: str(value) for name, value in query.items() if value is not None}
        return await self._call("GET", path, answer, params=params)

    async def text(self, path: str, **query: object) -> str:
        """Of an answer that is no JSON; bytes that are no UTF-8 are shown as such."""
        params = {name: str(value) for name, value in query.items() if value is not None}
        response = await self._send("GET", path, params=params)
        return response.content.decode(errors="backslashreplace")

    async def post(
        self,
        path: str,
        answer: type[T],
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        return await self._call("POST", path, answer, body=body, headers=headers)

    async def put(self, path: str, answer: type[T], body: object) -> T:
        return await self._call("PUT", path, answer, body=body)

    async def patch(self, path: str, answer: type[T], body: object) -> T:
        return await self._call("PATCH", path, answer, body=body)

    async def delete(self, path: str, answer: type[T]) -> T:
        return await self._call("DELETE", path, answer)

    async def _call(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        body: object = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        content = None if body is None else msgspec.json.encode(body)
        response = await self._send(
            method, path, content=content, params=params, headers=sent(headers, content)
        )
        return decoded(response, answer)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            response = await self.http.request(
                method, path, content=content, params=params, headers=headers
            )
        except httpx.TransportError as error:
            raise Unreachable(self.url, error) from error
        if not response.is_success:
            raise Refused(problem_of(response))
        return response


def sent(headers: Mapping[str, str] | None, content: bytes | None) -> dict[str, str]:
    kind = {"Content-Type": "application/json"} if content is not None else {}
    return {"Accept": "application/json", **kind, **(headers or {})}


def problem_of(response: httpx.Response) -> Problem:
    """The body's, or one made up where something else than Berth answers."""
    try:
        return msgspec.json.decode(response.content, type=Problem)
    except msgspec.MsgspecError:
        return Problem(
            title=f"{response.status_code} {response.reason_phrase}",
            status=response.status_code,
            code="",
            detail=f"{response.url.host} does not answer as Berth does: is the URL right?",
        )


def decoded(response: httpx.Response, answer: type[T]) -> T:
    if answer is type(None):
        return msgspec.convert(None, answer)
    try:
        return msgspec.json.decode(response.content, type=answer)
    except msgspec.MsgspecError as error:
        raise CliError(
            f"{response.url} gave an answer that this command does not understand: {error}. "
            "Is its version the same?",
            Exit.INTERNAL,
        ) from error


def _exit_of(status: int, code: str) -> Exit:
    by_status = {400: Exit.USAGE, 401: Exit.UNREACHABLE, 404: Exit.NOT_FOUND, 422: Exit.USAGE}
    if code == Code.DEPENDENCY_UNAVAILABLE:
        return Exit.DEPENDENCY_MISSING
    if status >= 500:
        return Exit.UNREACHABLE
    return by_status.get(status, Exit.REFUSED)


def _words(problem: Problem) -> str:
    lines = [problem.title]
    if problem.detail and problem.detail != problem.title:
        lines.append(problem.detail)
    missing: list[dict[str, Any]] = problem.details.get("missing") or []
    lines += [f"missing: {one.get('what')}: {one.get('how')}" for one in missing]
    if problem.status == 401:
        lines.append("Give a key with --key, BERTH_KEY or BERTH_KEY_FILE.")
    facts = [f"code {problem.code}"] if problem.code else []
    facts += [f"trace {problem.trace_id}"] if problem.trace_id else []
    retry = problem.code in set(Code) and RENDERINGS[Code(problem.code)].retry
    facts += ["trying again can help"] if retry else []
    if facts:
        lines.append(f"({', '.join(facts)})")
    return "\n".join(lines)
