from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from chassis.settings import Secret, SettingsError, load, secrets_of


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    database_url: Secret
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8080
    debug: bool = False
    names: list[str] = []
    keys: dict[str, Secret] = {}
    mode: Literal["fast", "safe"] = "fast"
    folder: Path | None = None
    other: Secret | None = None

    def __post_init__(self) -> None:
        if self.debug and self.mode == "safe":
            raise ValueError("BERTH_DEBUG and BERTH_MODE=safe exclude each other")


def test_load__reads_each_kind() -> None:
    found = load(
        Probe,
        environ={
            "BERTH_DATABASE_URL": "postgres://u:hunter2@h/d",
            "BERTH_PORT": "99",
            "BERTH_DEBUG": "true",
            "BERTH_NAMES": "a, b,",
            "BERTH_KEYS": '{"gateway": "bsk_gateway_1"}',
            "BERTH_FOLDER": "/srv",
            "BERTH_MODE": "",
            "BERTH_UNKNOWN": "ignored",
        },
    )
    assert (found.port, found.debug, found.names) == (99, True, ["a", "b"])
    assert (found.folder, found.mode) == (Path("/srv"), "fast")
    assert secrets_of(found) == ["postgres://u:hunter2@h/d", "bsk_gateway_1"]


def test_load__reads_a_file_and_strips_it(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgres://x\n")
    found = load(Probe, environ={"BERTH_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert found.database_url == "postgres://x"


def test_load__names_all_that_is_wrong() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Probe, environ={"BERTH_PORT": "70000", "BERTH_MODE": "slow", "BERTH_DEBUG": "ja"})
    told = str(caught.value)
    assert "BERTH_DATABASE_URL is not set" in told
    assert "BERTH_PORT should be a whole number (Expected `int` <= 65535)" in told
    assert "BERTH_MODE should be one of fast, safe" in told
    assert "BERTH_DEBUG should be true or false" in told


def test_load__never_shows_a_secret() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Probe, environ={"BERTH_DATABASE_URL": "x", "BERTH_KEYS": '{"hunter2"'})
    assert "BERTH_KEYS should be a JSON object" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_load__names_a_file_that_is_not_there() -> None:
    with pytest.raises(SettingsError, match=r"BERTH_DATABASE_URL_FILE: No such file.*/nowhere"):
        load(Probe, environ={"BERTH_DATABASE_URL_FILE": "/nowhere"})


def test_load__tells_what_contradicts() -> None:
    with pytest.raises(SettingsError, match="exclude each other"):
        load(Probe, environ={"BERTH_DATABASE_URL": "x", "BERTH_DEBUG": "1", "BERTH_MODE": "safe"})
