"""Names, ranges, sensitive names and previews of files: what crosses, and what never does."""

import pytest

from chassis.errors import BerthError
from chassis.files.cursors import after, cursor_of
from chassis.files.names import bytes_of, checked, glob_of, leads_out, shown
from chassis.files.previews import preview_headers
from chassis.files.ranges import Stretch, content_range, names_etag, stretch_of
from chassis.files.sensitive import Sensitive, header_of, sensitive_in
from contracts.errors import Code


@pytest.mark.parametrize("path", [b"a/b", "ä/ö".encode(), b"a\xff/%41", b"a\nb", b"%41", b"-x"])
def test_names__come_back_as_the_same_bytes(path: bytes) -> None:
    told = shown(path)
    assert bytes_of(told.text, escaped=told.escaped) == path


@pytest.mark.parametrize(
    "path",
    [b"..", b"a/..", b"../a", b"/a", b"a/", b"a//b", b"./a", b"a\0", b"x" * 256, b"y/" * 3000],
)
def test_paths__that_are_none(path: bytes) -> None:
    with pytest.raises(BerthError) as refused:
        checked(path, most=4096, field="from")
    assert refused.value.details["field"] == "from"
    assert refused.value.details["expected"]


@pytest.mark.parametrize("path", [b"...", b"a..b", b"..a", b"~", b"\\..\\", b"%2e%2e", b" "])
def test_paths__that_only_look_so(path: bytes) -> None:
    assert checked(path, most=4096) == path


@pytest.mark.parametrize(
    ("header", "size", "stretch"),
    [
        ("", 10, None),
        ("bytes=0-", 10, Stretch(0, 10)),
        ("bytes=2-4", 10, Stretch(2, 3)),
        ("bytes=2-99", 10, Stretch(2, 8)),
        ("bytes=-3", 10, Stretch(7, 3)),
        ("bytes=-99", 10, Stretch(0, 10)),
        ("bytes=4-2", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("bytes=-", 10, None),
        ("lines=1-2", 10, None),
    ],
)
def test_range__one_or_all(header: str, size: int, stretch: Stretch | None) -> None:
    assert stretch_of(header, size) == stretch
    if stretch:
        last = stretch.start + stretch.length - 1
        assert content_range(stretch, size) == f"bytes {stretch.start}-{last}/{size}"


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=0-", 0), ("bytes=-0", 9)])
def test_range__behind_the_end(header: str, size: int) -> None:
    with pytest.raises(BerthError) as refused:
        stretch_of(header, size)
    assert refused.value.code == Code.RANGE


def test_etag__among_others() -> None:
    assert names_etag('"a", W/"b"', '"b"')
    assert names_etag("*", '"b"')
    assert not names_etag('"a"', '"b"')


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        (b".env", True), (b"a/.ENV", True), (b".env/x/y", True), (b".env.local", False),
        (b"x.env", False), (b"server.Pem", True), (b"a.pem/b", True), (b"pem", False),
        (b"\xff.pem", True), (b"a\n.pem", True),
    ],
)  # fmt: skip
def test_sensitive__by_any_part(path: bytes, covered: bool) -> None:  # noqa: FBT001 - of a table
    names = sensitive_in(header_of([".env", "*.pem"]))
    assert names.covers(path) is covered


def test_sensitive__patterns_cross_in_a_header() -> None:
    patterns = ["*.key,%", "ä b", "a*b*.c"]
    assert list(sensitive_in(header_of(patterns)).patterns) == patterns
    assert sensitive_in(header_of([])).patterns == ()
    assert Sensitive(()).pattern_of(b".env") is None


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        (b"a", b"b", False), (b"a/b", b"../c", False), (b"a/b", b"../../c", True),
        (b"a", b"/etc", True), (b"a", b"..", True), (b"a/b/c", b"x/../../../d", False),
        (b"a", b"b/../../c", True), (b"a", b"", True), (b"a", b"x\0", True),
    ],
)  # fmt: skip
def test_links__that_lead_out(path: bytes, target: bytes, out: bool) -> None:  # noqa: FBT001 - of a table
    assert leads_out(path, target) is out


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "image/png"), ("A.JPG", "image/jpeg"), ("a.py", "text/plain; charset=utf-8"),
        ("Makefile", "text/plain; charset=utf-8"), ("a.svg", None), ("a.html", None),
        ("a.xml", None), ("a.xhtml", None), ("a.pdf", None), ("a", None), ("a.png.html", None),
    ],
)  # fmt: skip
def test_preview__only_of_what_is_safe_by_its_name(name: str, kind: str | None) -> None:
    shown_inline = preview_headers(name.encode(), inline=True)
    disposition = shown_inline["content-disposition"].partition(";")[0]
    assert (shown_inline["content-type"], disposition) == (
        (kind, "inline") if kind else ("application/octet-stream", "attachment")
    )
    assert preview_headers(name.encode(), inline=False)["content-disposition"].startswith("att")
    assert shown_inline["content-security-policy"].startswith("sandbox")


@pytest.mark.parametrize("name", ['a"b', "a\r\nSet-Cookie: x", "a\u202egnp.exe", "ä", "a\\", "%0d"])
def test_preview__a_name_is_no_header_of_its_own(name: str) -> None:
    value = preview_headers(name.encode(), inline=False)["content-disposition"]
    assert value.isascii()
    assert value.isprintable()
    plain = value.partition('filename="')[2].partition('"; filename*=')[0]
    assert '"' not in plain
    assert "\\" not in plain


def test_cursor__is_good_for_its_own_list_alone() -> None:
    cursor = cursor_of("tree a", b"a/\xff")
    assert after("tree a", cursor) == b"a/\xff"
    assert after("tree a", None) is None
    for scope, text in (("tree b", cursor), ("tree a", "x"), ("tree a", ""), ("tree a", "ä")):
        with pytest.raises(BerthError) as refused:
            after(scope, text)
        assert refused.value.code == Code.BAD_CURSOR


def test_glob__of_names_and_of_whole_paths() -> None:
    assert glob_of("*.py", most=9).matches(b"src/a.py")
    assert glob_of("src/*.py", most=9).matches(b"src/deep/a.py")
    assert not glob_of("src/*.py", most=9).matches(b"test/a.py")
    assert glob_of("\udcff*", most=9).matches(b"\xffx")
    # as long a name and as many stars as there may be: no time at all
    assert not glob_of("a*" * 8 + "b", most=99).matches(b"a" * 255)
