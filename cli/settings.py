"""What the command reads from the environment."""

from pathlib import Path
from typing import Literal

import msgspec

from chassis.settings import Secret, SettingsError, load
from cli.embedded.state import default_home
from cli.exits import CliError, Exit


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`BERTH_URL`, `BERTH_KEY` (or `BERTH_KEY_FILE`), `BERTH_HOME`, `BERTH_DATABASE_URL_FILE`."""

    url: str | None = None
    key: Secret | None = None
    home: Path | None = None
    """Where `berth up` keeps its state; absent: ~/.berth, as root /var/lib/berth."""
    database_url_file: Path | None = None
    """The control plane's own: with it `berth keys create` needs no key. For the first one."""
    model_key: Secret | None = None
    """A provider's, for `berth models set`."""
    git_token: Secret | None = None
    """Of a git host, for `berth git set`."""

    def home_or_default(self) -> Path:
        return (self.home or default_home()).expanduser().absolute()


class Inherited(msgspec.Struct, frozen=True, kw_only=True):
    """What a few children are given of ours."""

    path: str = "/usr/local/bin:/usr/bin:/bin"


class Providers(msgspec.Struct, frozen=True, kw_only=True):
    """Of models, as their own tools name them: for `berth agents check --live` alone."""

    anthropic_api_key: Secret | None = None
    openai_api_key: Secret | None = None
    anthropic_base_url: str = "https://api.anthropic.com"
    openai_base_url: str = "https://api.openai.com/v1"

    def key_of(self, provider: Literal["anthropic", "openai"]) -> str | None:
        return self.anthropic_api_key if provider == "anthropic" else self.openai_api_key

    def url_of(self, provider: Literal["anthropic", "openai"]) -> str:
        """What comes before `/v1`."""
        url = self.anthropic_base_url if provider == "anthropic" else self.openai_base_url
        return url.rstrip("/").removesuffix("/v1")


def read_providers() -> Providers:
    try:
        return load(Providers, prefix="")
    except SettingsError as error:
        raise CliError(str(error), Exit.USAGE) from error


def read_settings() -> Settings:
    try:
        return load(Settings)
    except SettingsError as error:
        raise CliError(str(error), Exit.USAGE) from error


def search_path() -> str:
    """Where agents are looked for: our own PATH."""
    return load(Inherited, prefix="").path
