"""What an executor loads before it is ready: every module here is time that a session waits."""

import subprocess
import sys

from tests.architecture import sources

HEAVY = frozenset(
    {
        "acp",
        "aiohttp",
        "boto3",
        "cryptography",
        "email",
        "google",
        "http",
        "httpcore",
        "httpx",
        "importlib.metadata",
        "joserfc",
        "litestar",
        "multiprocessing",
        "opentelemetry",
        "prometheus_client",
        "pydantic",
        "requests",
        "rich",
        "ssl",
        "structlog",
        "unittest",
        "urllib.request",
        "uvicorn",
        "xml",
    }
)

AGENTS = frozenset({"executor.services.runs.attempt", "executor.agents.session"})
"""The half that is loaded once the worker is ready (`executor.services.loading`)."""

MOST = 370
"""Modules, the interpreter's own included. More of them is a decision, not an accident."""


def loaded_by(module: str) -> set[str]:
    code = f"import {module}, sys; print(*sys.modules, sep='\\n')"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=sources.ROOT, capture_output=True, text=True, check=True
    )
    return set(told.stdout.split())


def test_executor__is_ready_with_light_modules_alone() -> None:
    loaded = loaded_by("executor.__main__")
    heavy = {name for name in loaded if any(name == h or name.startswith(f"{h}.") for h in HEAVY)}
    assert heavy | (loaded & AGENTS) == set()
    assert len(loaded) <= MOST


def test_executor__loads_the_agents_half_at_its_one_place() -> None:
    """What is kept out above comes in here: the list cannot go stale unseen."""
    code = (
        "import asyncio, sys; from executor.services.loading import load_attempts;"
        "asyncio.run(load_attempts()); print(*sys.modules, sep='\\n')"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=sources.ROOT, capture_output=True, text=True, check=True
    )
    assert {"acp", "pydantic", *AGENTS} <= set(told.stdout.split())
