"""Which installation a command speaks to: --url and --key, the environment, the local stack."""

from typing import Annotated

from cyclopts import Parameter

from cli.client import Place
from cli.exits import CliError, Exit
from cli.settings import Settings, read_settings
from cli.stack.record import read_key, read_record

Url = Annotated[
    str | None,
    Parameter(name="--url", help="The gateway's URL; else BERTH_URL, else the local stack."),
]
Key = Annotated[
    str | None,
    Parameter(
        name="--key",
        help="An API key. Others on this machine can see it in the list of processes: better "
        "BERTH_KEY or BERTH_KEY_FILE. Else the local stack's first key.",
    ),
]


def find_place(url: str | None, key: str | None) -> Place:
    """Raises a CliError that says what to do when nothing is named and nothing runs."""
    settings = read_settings()
    url = url or settings.url
    key = key or settings.key
    if url is None:
        url = _local_url(settings)
        key = key or read_key(settings.home_or_default())
    elif key is None and _is_local(settings, url):
        key = read_key(settings.home_or_default())
    if key is None:
        raise CliError(
            f"There is no API key for {url}. Give one with --key, BERTH_KEY or BERTH_KEY_FILE.",
            Exit.UNREACHABLE,
        )
    if not url.startswith(("http://", "https://")):
        raise CliError(f"{url} is not a URL: it begins with http:// or https://.", Exit.USAGE)
    return Place(url=url.rstrip("/"), key=key)


def _local_url(settings: Settings) -> str:
    home = settings.home_or_default()
    running = read_record(home)
    if running is None:
        raise CliError(
            f"No Berth runs here (state directory {home}). Start one with `berth up`, or name one "
            "with --url or BERTH_URL.",
            Exit.UNREACHABLE,
        )
    return running.url


def _is_local(settings: Settings, url: str) -> bool:
    running = read_record(settings.home_or_default())
    return running is not None and running.url.rstrip("/") == url.rstrip("/")
