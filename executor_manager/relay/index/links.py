"""Links of an index, made to lead back here where they lead to it or to its file hosts."""

import html
import re
from collections.abc import Callable
from urllib.parse import quote, urljoin, urlsplit

import msgspec

from contracts.relay import NamedUpstream
from executor_manager.relay.index.paths import FILES, is_own_file, is_page, origin

_A = re.compile(
    # some leave a > in a value; a < begins another tag, so that no text costs more than once
    r"""<a\s(?:[^<>"']|"[^"]{0,8192}"|'[^']{0,8192}'){0,8192}>""",
    re.IGNORECASE | re.ASCII,
)
_BASE = re.compile(r"<base\s[^<>]*>", re.IGNORECASE | re.ASCII)
_HREF = re.compile(r"""(\shref\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE | re.ASCII)
_PATH_SAFE = "/%!$&'()*+,;=:@-._~"

Object = dict[str, msgspec.Raw]
"""What is not looked into stays byte for byte."""


class Links:
    """Of one page at `page`, a URL. `here` goes before the path of each link: an origin, or nothing
    where a client takes links that begin with their path.
    """

    def __init__(self, upstream: NamedUpstream, page: str, here: str) -> None:
        self._upstream = upstream
        self._page = page
        self._here = f"{here}/{upstream.name}"
        self._base = upstream.url.rstrip("/")
        self._hosts = [origin(host) for host in upstream.file_hosts]

    def led_back(self, link: str, page: str = "") -> str:
        """A link to somewhere else is made whole, and left."""
        try:
            whole = urljoin(page or self._page, link)
            parts = urlsplit(whole)
            path = self._path(whole)
            if path is None:
                return whole
            path = quote(path, safe=_PATH_SAFE)
        except ValueError:
            return link
        query = f"?{parts.query}" if parts.query else ""
        fragment = f"#{parts.fragment}" if parts.fragment else ""
        return f"{self._here}{path}{query}{fragment}"

    def page_of(self, base: str) -> str:
        return urljoin(self._page, base)

    def _path(self, whole: str) -> str | None:
        parts, place = urlsplit(whole), origin(whole)
        if place == origin(self._base):
            before, rest = urlsplit(self._base).path, parts.path
            if rest.startswith(f"{before}/"):
                rest = rest.removeprefix(before)
                if is_page(self._upstream, rest) or is_own_file(self._upstream, rest):
                    return rest
        if place in self._hosts:
            return f"{FILES}{self._hosts.index(place)}{parts.path}"
        return None


def rewrite_html(body: bytes, links: Links) -> bytes:
    """Only what `href` of an anchor is; its other attributes and all else stay as they are."""
    # a character for each byte: whatever is in it, it takes no more room than it did
    text = body.decode("latin-1")
    page = ""
    if (base := _BASE.search(text)) is not None:
        if (href := _HREF.search(base[0])) is not None:
            page = links.page_of(_value(href))
        text = text.replace(base[0], "", 1)

    def anchor(found: re.Match[str]) -> str:
        return _HREF.sub(href_led_back, found[0], count=1)

    def href_led_back(found: re.Match[str]) -> str:
        link = html.escape(links.led_back(_value(found), page))
        return f'{found[1]}"{link.encode("utf-8", "surrogateescape").decode("latin-1")}"'

    return _A.sub(anchor, text).encode("latin-1")


def rewrite_simple(body: bytes, links: Links) -> bytes:
    """The JSON form of a simple page (PEP 691). Raises `MsgspecError`."""
    page = msgspec.json.decode(body, type=Object)
    if "files" in page:
        files = msgspec.json.decode(page["files"], type=list[Object])
        for file in files:
            _replace(file, "url", links.led_back)
        page["files"] = msgspec.Raw(msgspec.json.encode(files))
    return msgspec.json.encode(page)


def rewrite_npm(body: bytes, links: Links) -> bytes:
    """A package's document, or one version of it. Raises `MsgspecError`."""
    package = msgspec.json.decode(body, type=Object)
    if "versions" in package:
        versions = msgspec.json.decode(package["versions"], type=dict[str, Object])
        for version in versions.values():
            _replace_tarball(version, links)
        package["versions"] = msgspec.Raw(msgspec.json.encode(versions))
    _replace_tarball(package, links)
    return msgspec.json.encode(package)


def _replace_tarball(version: Object, links: Links) -> None:
    if "dist" in version:
        dist = msgspec.json.decode(version["dist"], type=Object)
        _replace(dist, "tarball", links.led_back)
        version["dist"] = msgspec.Raw(msgspec.json.encode(dist))


def _replace(some: Object, field: str, led_back: Callable[[str], str]) -> None:
    if field in some:
        link = msgspec.json.decode(some[field], type=str)
        some[field] = msgspec.Raw(msgspec.json.encode(led_back(link)))


def _value(href: re.Match[str]) -> str:
    text = href[2].encode("latin-1").decode("utf-8", "surrogateescape")
    bare = text[1:-1] if text[:1] in {'"', "'"} else text
    return html.unescape(bare).strip()
