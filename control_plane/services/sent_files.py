"""The files of one request's body, one after the other as they come: of a form, or of a tar."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from chassis.errors import BerthError
from chassis.files.multipart import parts as form_parts
from chassis.files.names import for_people
from chassis.files.tar import Member, MemberKind, TarRefused, TarStream
from contracts.errors import Code

EXECUTABLE = 0o111


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """`content` is taken, to its end or in part, before the next one is asked for. None: it is a
    directory.
    """

    path: str
    content: AsyncIterator[bytes] | None
    executable: bool = False


async def of_form(
    directory: str, content_type: str, body: AsyncIterator[bytes]
) -> AsyncGenerator[Sent]:
    """Raises `validation_failed` for what is no such body, or ends too early."""
    async for part in form_parts(content_type, body):
        name = part.name.replace("\\", "/")
        yield Sent(path=_beneath(directory, name), content=part.content())


async def of_tar(directory: str, body: AsyncIterator[bytes]) -> AsyncGenerator[Sent]:
    """Raises `validation_failed` that names the entry, also one that is neither a file nor a
    directory.
    """
    archive = _Archive(body)
    while (member := await archive.next()) is not None:
        if member.kind not in {MemberKind.FILE, MemberKind.DIRECTORY}:
            raise _refused("files and directories: a project has no links", member.name)
        name = _plain(member.name)
        if member.kind is MemberKind.FILE:
            executable = bool(member.mode & EXECUTABLE)
            path = _beneath(directory, name)
            yield Sent(path=path, content=archive.content(), executable=executable)
        elif name:
            yield Sent(path=_beneath(directory, name), content=None)


class _Archive:
    """Pulls where `TarStream` pushes."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._found: deque[Member | bytes | None] = deque()
        """None: the present file ends here."""
        self._stream = TarStream(
            self._found.append,
            lambda content: self._found.append(bytes(content)),
            lambda: self._found.append(None),
        )

    async def next(self) -> Member | None:
        """None: the archive ends here."""
        while self._found or await self._more():
            found = self._found.popleft()
            if isinstance(found, Member):
                return found
        return None

    async def content(self) -> AsyncGenerator[bytes]:
        while self._found or await self._more():
            found = self._found.popleft()
            if not isinstance(found, bytes):
                return
            yield found

    async def _more(self) -> bool:
        """False: there is no more."""
        try:
            while not self._found:
                part = await anext(self._body, None)
                if part is None:
                    self._stream.finish()
                    return False
                self._stream.feed(part)
        except TarRefused as refused:
            raise _refused(refused.expected, refused.name) from refused
        return True


def _plain(name: bytes) -> str:
    while name.startswith(b"./"):
        name = name[2:].lstrip(b"/")
    if name == b".":
        return ""
    with suppress(UnicodeDecodeError):
        return name.decode()
    raise _refused("names in UTF-8", name)


def _beneath(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _refused(expected: str, name: bytes) -> BerthError:
    """Names the entry, if it is one's fault."""
    named = for_people(name)
    where = f"{named}: " if named else ""
    return BerthError(
        Code.VALIDATION,
        f"body: {where}expected {expected}",
        field="body",
        path=named,
        expected=expected,
    )
