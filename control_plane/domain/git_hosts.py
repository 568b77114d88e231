"""Where git over HTTPS leads: to the host that a policy names, on HTTPS's usual port and at
addresses of the internet, unless the installation's administrator says otherwise of that host.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from contracts.git import GIT_HOST
from control_plane.domain.model_hosts import Origin, WrongUrl, origin_of, plain

HTTPS_PORT = 443
HTTP_PORT = 80

_HOST = re.compile(GIT_HOST)


class Place(NamedTuple):
    origin: Origin
    anywhere: bool
    """The administrator named it: its addresses may be private ones."""


class GitHosts:
    """`git.example.org` is HTTPS on its usual port, `https://git.example.org:8443` that origin,
    `git.example.org=http://git:8080` an origin that policies call by another name.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        """Raises ValueError for one that is none of these."""
        self._named = dict(_named(text) for text in hosts)

    def place(self, host: str) -> Place:
        named = self._named.get(host)
        if named is not None:
            return Place(named, anywhere=True)
        return Place(Origin("https", host, HTTPS_PORT), anywhere=False)


def _named(text: str) -> tuple[str, Origin]:
    name, equals, where = text.partition("=")
    url = where if equals else name
    try:
        plain_url = plain(url if "://" in url else f"https://{url}")
        origin = origin_of(plain_url)
    except WrongUrl as error:
        raise ValueError(_not_a_host(text)) from error
    host = name if equals else origin.host
    if plain_url.count("/") > 2 or not _HOST.fullmatch(host):
        raise ValueError(_not_a_host(text))
    return host, origin


def _not_a_host(text: str) -> str:
    return (
        f"BERTH_GIT_HOSTS: {text!r} is no host: `git.example.org` for HTTPS, an origin such as"
        " `https://git.example.org:8443`, or `git.example.org=http://git:8080`"
    )
