"""A few cycles of `tests/executor/random_trees.py`: `make soak-workspace` goes on."""

from tests.executor.random_trees import run


def test_cycles__each_restored_tree_is_the_saved_one() -> None:
    run(examples=8, steps=25)
