"""Which agents can run here, when the executor's interpreter cannot even be started."""

from functools import partial
from pathlib import Path

import pytest

from chassis.errors import DependencyUnavailable
from executor_manager.services.agents import ask_process, available_agents


async def test_available_agents__an_interpreter_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DependencyUnavailable):
        await available_agents(partial(ask_process, str(tmp_path / "python"), {}, None, None))
