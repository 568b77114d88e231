"""What a stack is started with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Overrides = Mapping[str, Mapping[str, str]]
"""Service → setting → value, as text."""

ADJUSTABLE = ("control-plane", "executor-manager", "executor", "relay", "gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    home: Path
    port: int | None = None
    """The gateway's; None: the former one, or any that is free."""
    overrides: Overrides = field(default_factory=dict[str, Mapping[str, str]])
    agent_path: str
    """PATH for agents, and for finding them."""
    quick: bool = False
    """For tests and trials: Postgres does not wait for the disk."""


def parse_overrides(given: list[str]) -> dict[str, dict[str, str]]:
    """Takes `service.setting=value`; raises ValueError that says what is wrong."""
    found: dict[str, dict[str, str]] = {}
    for one in given:
        name, equals, value = one.partition("=")
        service, dot, setting = name.partition(".")
        if not (equals and dot and setting.isidentifier()):
            raise ValueError(f"{one}: write it as SERVICE.SETTING=VALUE")
        if service not in ADJUSTABLE:
            raise ValueError(f"{one}: there is no service {service}; it is {', '.join(ADJUSTABLE)}")
        found.setdefault(service, {})[setting] = value
    return found
