"""Tars as they come: in pieces of any size, and none of them believed."""

import io
import tarfile

import pytest

from chassis.files.tar import LONGEST_EXTENSION, Member, MemberKind, TarRefused, TarStream


class Reading:
    def __init__(self) -> None:
        self.members: list[tuple[Member, bytes]] = []
        self._content = b""
        self._member: Member | None = None
        self.stream = TarStream(self._begin, self._piece, self._end)

    def _begin(self, member: Member) -> None:
        self._member, self._content = member, b""
        if member.kind is not MemberKind.FILE:
            self.members.append((member, b""))

    def _piece(self, piece: memoryview) -> None:
        self._content += piece

    def _end(self) -> None:
        assert self._member is not None
        self.members.append((self._member, self._content))


def read(content: bytes, size: int = 1 << 20) -> list[tuple[Member, bytes]]:
    reading = Reading()
    for start in range(0, len(content), size):
        reading.stream.feed(content[start : start + size])
    reading.stream.finish()
    return reading.members


def member(name: str, content: bytes = b"", **changes: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in changes.items():
        setattr(info, field, value)
    head = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    return head + content + bytes(-len(content) % 512)


END = bytes(1024)


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1 << 20])
def test_members__in_pieces_of_any_size(size: int) -> None:
    long = "d" * 120 + "/" + "f" * 120
    content = (
        member("plain", b"a" * 1000, mode=0o640, pax_headers={"mtime": "12.000000034"})
        + member(long, b"b", pax_headers={"mtime": "-1.5"})
        + member("link", type=tarfile.SYMTYPE, linkname="../out")
        + member("n\udcff", b"")
        + member("dir", type=tarfile.DIRTYPE)
        + END
    )
    found = read(content, size)
    assert [one.name for one, _ in found] == [
        b"plain", long.encode(), b"link", b"n\xff", b"dir",
    ]  # fmt: skip
    assert [content for _, content in found] == [b"a" * 1000, b"b", b"", b"", b""]
    assert [one.mtime_ns for one, _ in found[:2]] == [12_000_000_034, -1_500_000_000]
    assert found[0][0].mode == 0o640
    assert (found[2][0].kind, found[2][0].target) == (MemberKind.LINK, b"../out")


def test_gnu__long_names() -> None:
    info = tarfile.TarInfo("x" * 300)
    content = info.tobuf(tarfile.GNU_FORMAT) + END
    assert read(content)[0][0].name == b"x" * 300


@pytest.mark.parametrize(
    "content",
    [
        member("cut", b"abc")[:600],
        member("no end", b"abc"),
        b"\x1f\x8b" + bytes(2000),
        member("fifo", type=tarfile.FIFOTYPE) + END,
        member("device", type=tarfile.CHRTYPE) + END,
        member("sparse", type=tarfile.GNUTYPE_SPARSE) + END,
        member("sparse", pax_headers={"GNU.sparse.major": "1"}) + END,
        member("lies", pax_headers={"size": "-5"}) + END,
    ],
)
def test_refused(content: bytes) -> None:
    with pytest.raises(TarRefused):
        read(content)


def test_extensions__before_one_member_are_bounded() -> None:
    """One header after the other, each of them small enough, would be remembered without end."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 60_000
    value = b"v" * (60_000 - len(b"60000 key00=\n"))
    content = b""
    for number in range(10):
        record = b"60000 key%02d=" % number + value + b"\n"
        content += info.tobuf() + record + bytes(-len(record) % 512)
    with pytest.raises(TarRefused, match=str(LONGEST_EXTENSION)):
        read(content)


def test_archive__of_the_standard_library() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("é/名")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    found = read(file.getvalue(), 700)
    assert found[0][0].name == "é/名".encode()
    assert found[0][1] == b"abc"
