"""What reaches a viewer's terminal of what hostile programs write (I18)."""

import random

import pytest

from executor.terminals.escapes import SWALLOWED_MOST, Sanitizer


def shown(content: bytes) -> bytes:
    return Sanitizer().feed(content)


@pytest.mark.parametrize(
    "content",
    [
        b"plain text\r\nand more\ttabs \x07\x08",
        "ünïcode 🙂 日本".encode(),
        b"\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mtrue\x1b[m \x1b[38:5:12mcolon",
        b"\x1b[2J\x1b[H\x1b[10;20H\x1b[K\x1b[3A\x1b[?25l\x1b[?1049h\x1b[?2004h",
        b"\x1b[?1000;1006h\x1b[4h\x1b[5;20r\x1b[2 q\x1b[!p",
        b"\x1b7\x1b8\x1b=\x1b>\x1bM\x1b(0lqk\x1b(B\x1bc",
    ],
)
def test_screen__comes_through_as_it_is(content: bytes) -> None:
    assert shown(content) == content


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x1b]52;c;ZXZpbA==\x07",
        b"\x1b]52;c;?\x1b\\",
        b"\x1b]8;;http://evil/\x1b\\",
        b"\x1b]0;title\x07",
        b"\x1b]2;title\x1b\\",
        b"\x1b]4;1;?\x07",
        b"\x1b]10;?\x07",
        b"\x1b]1337;File=name=eA==;inline=1:AAAA\x07",
        b"\x1bP$qm\x1b\\",
        b"\x1bP+q544e\x1b\\",
        b"\x1bPq#0;2;0;0;0~~\x1b\\",
        b"\x1b_Gi=1,a=q;AAAA\x1b\\",
        b"\x1b^private\x1b\\",
        b"\x1bXstring\x1b\\",
        b"\x1bktitle\x1b\\",
        b"\x1b[c",
        b"\x1b[>c",
        b"\x1b[=c",
        b"\x1b[0c",
        b"\x1b[5n",
        b"\x1b[6n",
        b"\x1b[?6n",
        b"\x1b[21t",
        b"\x1b[18t",
        b"\x1b[8;1;1t",
        b"\x1b[x",
        b"\x1b[?1$p",
        b"\x1b[1$p",
        b"\x1b[1;1;1;1;1;1*y",
        b"\x1b[>q",
        b"\x1b[?u",
        b"\x1b[>1u",
        b"\x1b[>4;2m",
        b"\x1b[?4m",
        b"\x1b[?1;1S",
        b"\x1b[5i",
        b"\x1b[?5i",
        b"\x1b[99999b",
        b"\x1b[20h",
        b"\x1b[?9001h",
        b"\x1bZ",
        b"\x1b%@",
        b"\x1b F",
        b"\x1b#8",
        b"\x05",
        b"\x0e\x0f",
        b"\x7f\x00",
        "\x9b6n".encode()[:2],
        "\x9d52;c;ZXZpbA==\x9c".encode(),
        "\x90$qm\x9c".encode(),
    ],
)
def test_hostile_sequence__is_left_out(hostile: bytes) -> None:
    assert shown(b"a" + hostile + b"b") == b"ab"


def test_c1_control__never_introduces_anything() -> None:
    assert shown("\x9b6n".encode()) == b"6n"
    assert b"\x9b" not in shown(b"\x9b6n").replace("\ufffd".encode(), b"")


def test_modes__only_the_known_ones_stay() -> None:
    assert shown(b"\x1b[?25;9001;1049h") == b"\x1b[?25;1049h"


@pytest.mark.parametrize(
    "nested",
    [
        b"\x1b\x1b[6n",
        b"\x1b[\x1b[6n",
        b"\x1b]0;a\x1b[6n",
        b"\x1b\x00[6n",
        b"\x1b[\x006n",
        b"\x1b[6\r\nn",
        b"\x1b]0;\x1b]52;c;ZQ==\x07\x07",
        b"\x1b[?1\x1b[c;2c",
        b"\x1b]\x1b\\[6n",
    ],
)
def test_nested__leaves_no_introducer_without_its_own_rest(nested: bytes) -> None:
    kept = shown(nested + b"end")
    assert b"\x1b" not in kept
    assert kept.endswith(b"end")


def test_pieces__make_no_difference() -> None:
    """Every cut, and again what came out cannot be shortened: it is harmless by itself."""
    dice = random.Random(7)
    parts = [
        b"\x1b",
        b"[",
        b"]",
        b"P",
        b"52;c;",
        b"6n",
        b"?25h",
        b"\x07",
        b"\\",
        b"m",
        b"x",
        b"\x9b",
    ]
    parts += ["ü".encode(), "\x9d".encode(), b"\x18", b"1;2", b" q", b"\r\n", b"\x05"]
    for _ in range(3000):
        content = b"".join(dice.choices(parts, k=dice.randint(1, 20)))
        whole = Sanitizer()
        expected = whole.feed(content) + whole.feed(b"")
        pieces = Sanitizer()
        got = b"".join(pieces.feed(content[at : at + 1]) for at in range(len(content)))
        assert got == expected, content
        assert shown(expected) == expected, content


def test_endless_string__ends() -> None:
    sanitizer = Sanitizer()
    assert sanitizer.feed(b"\x1b]0;") == b""
    for _ in range(SWALLOWED_MOST // 65536):
        assert sanitizer.feed(b"x" * 65536) == b""
    assert sanitizer.feed(b"here again") == b"here again"


def test_endless_sequence__is_not_kept() -> None:
    sanitizer = Sanitizer()
    sanitizer.feed(b"\x1b[")
    for _ in range(1000):
        sanitizer.feed(b"1;" * 1000)
    assert len(sanitizer._pending) < 1000


def test_what_is_no_text__comes_as_text() -> None:
    shown(bytes(range(256)) * 10).decode()
