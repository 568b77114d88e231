"""What every test may ask for."""

pytest_plugins = [
    "tests.fixtures.postgres",
    "tests.fixtures.object_store",
    "tests.fixtures.office",
    "tests.fixtures.control_plane",
    "tests.fixtures.strict",
]
