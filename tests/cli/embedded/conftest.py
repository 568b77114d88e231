import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest


@pytest.fixture
def open_home() -> Generator[Path]:
    """A state directory that other users can reach; pytest's own folders are closed to them."""
    home = Path(tempfile.mkdtemp(prefix="berth-home-"))
    home.chmod(0o711)
    yield home
    shutil.rmtree(home)
