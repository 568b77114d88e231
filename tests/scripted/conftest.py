"""What tests of the scripted agent and model may ask for."""

from pathlib import Path

import pytest

from tests.scripted.driven import Start, agent_below


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return agent_below(tmp_path)
