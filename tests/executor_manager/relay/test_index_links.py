"""Links of indexes, and which of their paths there are."""

import time

import msgspec
import pytest

from contracts.relay import NamedUpstream
from executor_manager.relay.index.links import Links, rewrite_html, rewrite_npm, rewrite_simple
from executor_manager.relay.index.paths import ToIndex, decide_index
from executor_manager.relay.policy import Denied

HERE = "127.0.0.1:8119"
PYPI = NamedUpstream(
    name="pypi",
    url="https://index.test",
    methods=["GET", "HEAD"],
    paths=["/simple/"],
    index="pypi",
    file_hosts=["https://files.test", "https://more.test:8443"],
)
MIRROR = NamedUpstream(
    name="mirror",
    url="https://mirror.test/repository/pypi",
    methods=["GET"],
    paths=[],
    index="pypi",
)
NPM = NamedUpstream(
    name="npm",
    url="https://registry.test",
    methods=["GET", "HEAD"],
    paths=["/"],
    index="npm",
    file_hosts=["https://tarballs.test"],
)

PYPI_LINKS = [
    ("https://files.test/packages/a/b.whl", "/pypi/-/files/0/packages/a/b.whl"),
    ("https://FILES.test:443/p/b.whl#sha256=ab", "/pypi/-/files/0/p/b.whl#sha256=ab"),
    ("//files.test/p/b.whl", "/pypi/-/files/0/p/b.whl"),
    ("https://more.test:8443/b.tar.gz?a=b&c", "/pypi/-/files/1/b.tar.gz?a=b&c"),
    ("https://files.test/a b/c+d%20e.whl", "/pypi/-/files/0/a%20b/c+d%20e.whl"),
    ("../../packages/b-1.0.zip#md5=x", "/pypi/packages/b-1.0.zip#md5=x"),
    ("/packages/b.whl.metadata", "/pypi/packages/b.whl.metadata"),
    ("https://index.test/simple/other/", "/pypi/simple/other/"),
    ("b.whl", "/pypi/simple/b/b.whl"),
    ("https://index.test/account/", "https://index.test/account/"),
    ("http://files.test/p/b.whl", "http://files.test/p/b.whl"),
    ("https://files.test:444/p/b.whl", "https://files.test:444/p/b.whl"),
    ("https://files.test.evil.org/p/b.whl", "https://files.test.evil.org/p/b.whl"),
    ("https://elsewhere.test/b.whl", "https://elsewhere.test/b.whl"),
    ("https://[broken/b.whl", "https://[broken/b.whl"),
    ("mailto:a@b", "mailto:a@b"),
]


@pytest.mark.parametrize(("link", "led"), PYPI_LINKS)
def test_links__lead_back_where_they_lead_to_the_index_or_its_hosts(link: str, led: str) -> None:
    assert Links(PYPI, "https://index.test/simple/b/", "").led_back(link) == led


def test_a_mirror__has_its_files_below_itself_and_nothing_else_of_its_host() -> None:
    links = Links(MIRROR, "https://mirror.test/repository/pypi/simple/b/", "")
    assert links.led_back("../../packages/b/b-1.whl") == "/mirror/packages/b/b-1.whl"
    for outside in ("/repository/other/b.whl", "/repository/pypi-evil/b.whl", "/b.whl"):
        assert links.led_back(outside) == f"https://mirror.test{outside}"


def test_html__keeps_all_but_where_anchors_lead() -> None:
    page = (
        '<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.1">'
        '<link href="https://files.test/style.css"></head><body>\r\n'
        '<a href="https://files.test/p/b-1.whl#sha256=ab" data-requires-python="&gt;=3.8" '
        'data-core-metadata="sha256=cd" data-yanked="it&#39;s bad">b-1.whl</a><br />\n'
        "<A data-requires-python='>=3.9' HREF='https://files.test/p/b-2.whl'>b-2</A>\n"
        "<a href=https://files.test/p/b-3.whl?x=1&amp;y=2 rel=internal>b-3 \xe9</a>\n"
        '<abbr title="a">href="https://files.test/p/no.whl"</abbr>'
    ).encode("latin-1")
    new = rewrite_html(page, Links(PYPI, "https://index.test/simple/b/", ""))
    expected = (
        page.replace(b'"https://files.test/p/b-1.whl', b'"/pypi/-/files/0/p/b-1.whl')
        .replace(b"'https://files.test/p/b-2.whl'", b'"/pypi/-/files/0/p/b-2.whl"')
        .replace(
            b"https://files.test/p/b-3.whl?x=1&amp;y=2", b'"/pypi/-/files/0/p/b-3.whl?x=1&amp;y=2"'
        )
    )
    assert new == expected


def test_html_with_a_link_that_is_none__has_its_others_led_back() -> None:
    page = (
        b'<a href="https://files.test/\xff\xc3.whl">a</a><a href="https://[files.test/b">b</a>'
        b'<a href="https://elsewhere.test/\xc3\xa0">\xa0</a><a href="https://files.test/\xc3\xa0">c'
    )
    new = rewrite_html(page, Links(PYPI, "https://index.test/simple/b/", ""))
    assert new == page.replace(b"https://files.test/\xc3\xa0", b"/pypi/-/files/0/%C3%A0")


def test_html_with_a_base__is_read_by_it_and_loses_it() -> None:
    page = b'<head><base href="https://files.test/p/"></head><a href="b.whl">b</a>'
    new = rewrite_html(page, Links(PYPI, "https://index.test/simple/b/", ""))
    assert new == b'<head></head><a href="/pypi/-/files/0/p/b.whl">b</a>'


@pytest.mark.parametrize("page", [b"<a " * 100_000, b'<a x="' * 60_000, b"<base " * 100_000])
def test_html_that_is_none__costs_little(page: bytes) -> None:
    begun = time.thread_time()
    rewrite_html(page, Links(PYPI, "https://index.test/simple/b/", ""))
    assert time.thread_time() - begun < 10


def test_json_pages__keep_all_but_the_urls_of_files() -> None:
    page = {
        "meta": {"api-version": "1.3", "_last-serial": 12345678901234567890},
        "name": "b",
        "files": [
            {
                "filename": "b-1.whl",
                "url": "https://files.test/p/b-1.whl",
                "hashes": {"sha256": "ab"},
                "requires-python": ">=3.8",
                "core-metadata": {"sha256": "cd"},
                "yanked": "bad",
                "size": 12,
            }
        ],
        "versions": ["1"],
    }
    links = Links(PYPI, "https://index.test/simple/b/", "")
    new = msgspec.json.decode(rewrite_simple(msgspec.json.encode(page), links))
    assert new["files"][0].pop("url") == "/pypi/-/files/0/p/b-1.whl"
    page["files"][0].pop("url")  # type: ignore[union-attr, index] # as made above
    assert new == page


def test_npm_documents__keep_all_but_their_tarballs() -> None:
    def version(number: str, tarball: str) -> dict[str, object]:
        dist = {"shasum": "ab", "integrity": "sha512-x", "tarball": tarball}
        return {"name": "@s/b", "version": number, "dist": dist, "scripts": {"a": "b"}}

    whole = {
        "name": "@s/b",
        "dist-tags": {"latest": "2.0.0"},
        "time": {"1.0.0": "2020"},
        "versions": {
            "1.0.0": version("1.0.0", "https://registry.test/@s/b/-/b-1.0.0.tgz"),
            "2.0.0": version("2.0.0", "https://tarballs.test/x/b-2.0.0.tgz"),
            "3.0.0": version("3.0.0", "https://elsewhere.test/b-3.0.0.tgz"),
        },
    }
    links = Links(NPM, "https://registry.test/@s%2fb", f"http://{HERE}")
    new = msgspec.json.decode(rewrite_npm(msgspec.json.encode(whole), links))
    tarballs = [one["dist"].pop("tarball") for one in new["versions"].values()]
    assert tarballs == [
        f"http://{HERE}/npm/@s/b/-/b-1.0.0.tgz",
        f"http://{HERE}/npm/-/files/0/x/b-2.0.0.tgz",
        "https://elsewhere.test/b-3.0.0.tgz",
    ]
    for one in whole["versions"].values():  # type: ignore[union-attr] # as made above
        one["dist"].pop("tarball")
    assert new == whole
    single = version("1.0.0", "https://registry.test/@s/b/-/b-1.0.0.tgz")
    new = msgspec.json.decode(rewrite_npm(msgspec.json.encode(single), links))
    assert new["dist"]["tarball"] == f"http://{HERE}/npm/@s/b/-/b-1.0.0.tgz"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"versions": 1}', b'{"versions": {"1": {"dist": []}}}']
)
def test_documents_that_are_none__are_told(body: bytes) -> None:
    links = Links(NPM, "https://registry.test/b", f"http://{HERE}")
    with pytest.raises(msgspec.MsgspecError):
        rewrite_npm(body, links)


THERE = [
    (PYPI, "/simple/b/", "page", "https://index.test/simple/b/"),
    (PYPI, "/simple/Some.Project_1", "page", "https://index.test/simple/Some.Project_1"),
    (PYPI, "/-/files/0/p/b.whl", "file", "https://files.test/p/b.whl"),
    (PYPI, "/-/files/1/b.whl.metadata", "file", "https://more.test:8443/b.whl.metadata"),
    (PYPI, "/packages/b-1.0.tar.gz", "file", "https://index.test/packages/b-1.0.tar.gz"),
    (NPM, "/left-pad", "page", "https://registry.test/left-pad"),
    (NPM, "/left-pad/latest", "page", "https://registry.test/left-pad/latest"),
    (NPM, "/@types%2fnode", "page", "https://registry.test/@types%2fnode"),
    (NPM, "/@types%2Fnode", "page", "https://registry.test/@types%2Fnode"),
    (NPM, "/@types/node/1.0.0-a+b", "page", "https://registry.test/@types/node/1.0.0-a+b"),
    (NPM, "/@s/b/-/b-1.tgz", "file", "https://registry.test/@s/b/-/b-1.tgz"),
    (NPM, "/-/files/0/x/b.tgz", "file", "https://tarballs.test/x/b.tgz"),
]


@pytest.mark.parametrize(("upstream", "path", "kind", "target"), THERE)
def test_paths_of_an_index__are_there(
    upstream: NamedUpstream, path: str, kind: str, target: str
) -> None:
    for method in ("GET", "HEAD"):
        found = decide_index(upstream, method, path, "", HERE)
        assert isinstance(found, ToIndex)
        assert (found.kind, found.url) == (kind, target)


NOT_THERE = [
    (PYPI, "POST", "/simple/b/", "method"),
    (PYPI, "PUT", "/-/files/0/b.whl", "method"),
    (PYPI, "DELETE", "/simple/b/", "method"),
    (NPM, "POST", "/-/npm/v1/security/audits/quick", "method"),
    (NPM, "PUT", "/left-pad", "method"),
    (PYPI, "GET", "/", "path"),
    (PYPI, "GET", "/simple/", "path"),
    (PYPI, "GET", "/legacy/", "path"),
    (PYPI, "GET", "/pypi/b/json", "path"),
    (PYPI, "GET", "/simple/b/c/", "path"),
    (PYPI, "GET", "/-/files/2/b.whl", "path"),
    (PYPI, "GET", "/-/files/00000/b.whl", "path"),
    (PYPI, "GET", "/-/files/0/", "path"),
    (PYPI, "GET", "/-/files/-1/b.whl", "path"),
    (PYPI, "GET", "/simple/../pypi/b.whl", "dot_segment"),
    (PYPI, "GET", "/simple/%2e%2e/b.whl", "dot_segment"),
    (PYPI, "GET", "/-/files/0/../../b.whl", "dot_segment"),
    (PYPI, "GET", "/-/files/0//evil.test/b.whl", "encoded_slash"),
    (PYPI, "GET", "/-/files/0/a%2fb.whl", "encoded_slash"),
    (PYPI, "GET", "/-/files/0/a%0d%0ab.whl", "encoded_slash"),
    (PYPI, "GET", "/simple/b%2f..%2fc/", "encoded_slash"),
    (NPM, "GET", "/", "path"),
    (NPM, "GET", "/-/whoami", "path"),
    (NPM, "GET", "/-/v1/search", "path"),
    (NPM, "GET", "/-/npm/v1/tokens", "path"),
    (NPM, "GET", "/-/user/org.couchdb.user:a", "path"),
    (NPM, "GET", "/_all_docs", "path"),
    (NPM, "GET", "/@types%2fnode%2f..", "encoded_slash"),
    (NPM, "GET", "/@types%252fnode", "encoded_slash"),
]


@pytest.mark.parametrize(("upstream", "method", "path", "rule"), NOT_THERE)
def test_other_paths_and_methods__are_denied(
    upstream: NamedUpstream, method: str, path: str, rule: str
) -> None:
    assert decide_index(upstream, method, path, "", HERE) == Denied(rule)


def test_a_query__is_a_files_alone_and_npms_host_is_loopback() -> None:
    assert decide_index(PYPI, "GET", "/simple/b/", "?x=1", HERE) == Denied("query")
    found = decide_index(PYPI, "GET", "/-/files/0/b.whl", "?sig=x", HERE)
    assert isinstance(found, ToIndex)
    assert found.url == "https://files.test/b.whl?sig=x"
    for host in ("", "evil.test", "127.0.0.1.evil.test", "127.0.0.1:1/x", "a@127.0.0.1"):
        assert decide_index(NPM, "GET", "/left-pad", "", host) == Denied("host")
