"""A directory of this machine as the server takes it: all of it, in order, links as links."""

import os
import socket
from pathlib import Path

import pytest

from cli.exits import CliError, Exit
from cli.output import Output
from cli.progress import Meter, StatusLine
from cli.trees.local import LeftOut, archived, totals
from cli.trees.sending import measured
from control_plane.services.tree_building import _Receiving
from snapshots.manifest import Manifest
from snapshots.model import Item, Kind, Pack


def sent(top: Path) -> tuple[dict[bytes, Item], list[LeftOut]]:
    """Through what the server reads it with."""
    left_out: list[LeftOut] = []
    receiving, packs = _Receiving(1 << 30), dict[int, Pack]()
    meter = Meter(StatusLine(Output()), "sending")
    made = [*map(receiving.feed, archived(top, left_out, meter)), receiving.finish()]
    for pack in (one for each in made for one in each):
        packs[pack.number] = Pack(f"p{pack.number}", len(pack.content))
    manifest = Manifest(receiving.stored(packs), receiving.limits)
    return {item.path: item for item in manifest.items()}, left_out


def test_tree__is_all_there(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_bytes(b"ref: refs/heads/main\n")
    (tmp_path / ".env").write_bytes(b"A=1\n")
    (tmp_path / "empty").mkdir(mode=0o750)
    (tmp_path / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("/etc/shadow")
    (tmp_path / "loop").symlink_to(".")
    os.link(tmp_path / "run.sh", tmp_path / "twin.sh")
    os.utime(tmp_path / ".env", ns=(0, 1_700_000_000_123_456_789))
    name = os.path.join(os.fsencode(tmp_path), b"\xff" + "é".encode() * 100 + b"\n")  # noqa: PTH118  # bytes
    with open(name, "wb") as file:  # noqa: PTH123  # bytes
        file.write(b"odd")
    found, left_out = sent(tmp_path)
    assert not left_out
    assert len(found) == 9
    assert found[b".env"].mtime_ns == 1_700_000_000_123_456_789
    assert found[b"run.sh"].mode == 0o755
    assert (found[b"twin.sh"].kind, found[b"twin.sh"].target) == (Kind.TWIN, b"run.sh")
    assert (found[b"link"].kind, found[b"link"].target) == (Kind.LINK, b"/etc/shadow")
    assert found[b"loop"].kind is Kind.LINK
    assert found[b"empty"].kind is Kind.DIRECTORY
    assert found[os.path.basename(name)].size == 3  # noqa: PTH119  # bytes


def test_order__is_the_servers(tmp_path: Path) -> None:
    """`a.txt` comes before `a/` by text, and after what is in it by path."""
    for name in ("a/z", "a.txt", "a-b", "B", "a/.x", "ab"):
        place = tmp_path / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"x")
    found, _ = sent(tmp_path)
    assert list(found) == [b"B", b"a", b"a/.x", b"a/z", b"a-b", b"a.txt", b"ab"]


def test_ignored__is_not_sent(tmp_path: Path) -> None:
    (tmp_path / ".berthignore").write_bytes(b"*.log\n/build/\n")
    (tmp_path / "sub/build").mkdir(parents=True)
    (tmp_path / "build").mkdir()
    for name in ("keep", "x.log", "sub/y.log", "build/out", "sub/build/kept"):
        (tmp_path / name).write_bytes(b"x")
    found, _ = sent(tmp_path)
    assert set(found) == {b".berthignore", b"keep", b"sub", b"sub/build", b"sub/build/kept"}
    assert totals(tmp_path) == (3, 14 + 2)


def test_what_cannot_be_sent__is_listed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".berth").mkdir()
    place = socket.socket(socket.AF_UNIX)
    place.bind(str(tmp_path / "socket"))
    place.close()
    found, left_out = sent(tmp_path)
    assert set(found) == {b"file"}
    assert [(one.path, one.why) for one in left_out] == [
        (b".berth", "Berth's own"),
        (b"pipe", "a pipe"),
        (b"socket", "a socket"),
    ]


def test_file_that_shrinks_while_it_is_sent(tmp_path: Path) -> None:
    """Its head has gone out with its size: the archive stays whole, and the person is told."""
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    (tmp_path / "b").write_bytes(b"after")
    left_out: list[LeftOut] = []
    receiving, packs = _Receiving(1 << 30), dict[int, Pack]()
    pieces = archived(tmp_path, left_out, Meter(StatusLine(Output()), "sending"))
    receiving.feed(next(pieces))
    os.truncate(tmp_path / "a", 10)
    for piece in pieces:
        receiving.feed(piece)
    for pack in receiving.finish():
        packs[pack.number] = Pack("p", len(pack.content))
    items = {one.path: one for one in Manifest(receiving.stored(packs), receiving.limits).items()}
    assert items[b"a"].size == 3_000_000
    assert items[b"b"].size == 5
    assert [(one.path, one.sent) for one in left_out] == [(b"a", True)]


@pytest.mark.parametrize(
    ("name", "words"),
    [("gone", "no directory"), ("file", "is no directory"), ("empty", "no files to send")],
)
async def test_newcomers_errors(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CliError, match=words) as refused:
        await measured(str(tmp_path / name))
    assert refused.value.exit_code is Exit.USAGE
