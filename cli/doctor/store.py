"""An object store, whether it does what Berth needs: by its settings, or by what is given here."""

from collections.abc import AsyncGenerator, Mapping

from chassis.errors import DependencyUnavailable
from chassis.settings import SettingsError, load
from chassis.store.access import StoreAccess
from chassis.store.check import FULL, Finding, check_store
from cli.exits import CliError, Exit

PREFIX = "BERTH_OBJECT_STORE_"


async def look_at_store(options: Mapping[str, str | None]) -> AsyncGenerator[Finding]:
    """`options`, by the names of `StoreAccess`, go before the environment. Raises `CliError`."""
    given = {f"{PREFIX}{name.upper()}": text for name, text in options.items() if text}
    try:
        access = load(StoreAccess, prefix=PREFIX, given=given)
    except SettingsError as error:
        how = "--endpoint, --bucket and --access-key may be given too; the secret may not"
        raise CliError(f"{error}\n{how}", Exit.USAGE) from error
    try:
        async for finding in check_store(access, FULL):
            yield finding
    except DependencyUnavailable as error:
        (missing,) = error.details["missing"]
        raise CliError(f"{missing['what']}: {missing['how']}", Exit.UNREACHABLE) from error
