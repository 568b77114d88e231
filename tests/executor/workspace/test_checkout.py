"""Where a repository is cloned to and how it becomes the workspace: the disk's half."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from executor.workspace import checkout
from executor.workspace.checkout import Placed, PlaceTaken

RECORD = Placed(url="https://git.example.org/a", ref="main", commit="0" * 40)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "workspace"
    place.mkdir()
    return place


def cloned(root: Path) -> None:
    checkout.clear(root)
    new = root / ".berth/checkout.new"
    (new / ".git").mkdir(parents=True)
    (new / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (new / "src").mkdir()
    (new / "src/a").write_text("a")
    (new / "link").symlink_to("/etc")


def names(root: Path) -> set[str]:
    return {one.name for one in root.iterdir()}


def test_placed__all_of_it(root: Path) -> None:
    cloned(root)
    assert not checkout.is_whole(root)
    checkout.seal(root)
    assert checkout.is_whole(root)
    assert checkout.placed(root) is None
    checkout.place(root, RECORD)
    assert names(root) == {".berth", ".git", "src", "link"}
    assert (root / "link").is_symlink()
    assert checkout.placed(root) == RECORD
    assert names(root / ".berth") == {"checkout.json"}


def test_clear__throws_half_of_it_away(root: Path) -> None:
    cloned(root)
    (root / ".berth/checkout.new/src").chmod(0)
    checkout.clear(root)
    assert names(root / ".berth") == set()


@pytest.mark.parametrize("taken", ["src", "link"])
def test_taken__nothing_is_moved(root: Path, taken: str) -> None:
    (root / taken).write_text("the session's own")
    cloned(root)
    checkout.seal(root)
    with pytest.raises(PlaceTaken) as refused:
        checkout.place(root, RECORD)
    assert refused.value.names == [taken.encode()]
    assert names(root) == {".berth", taken}
    checkout.abandon(root)
    assert not checkout.is_whole(root)


def test_dangling_link__takes_a_place_too(root: Path) -> None:
    (root / "src").symlink_to("nowhere")
    cloned(root)
    checkout.seal(root)
    with pytest.raises(PlaceTaken):
        checkout.place(root, RECORD)


def test_memory_of_berths_in_a_repository__is_refused(root: Path) -> None:
    cloned(root)
    (root / ".berth/checkout.new/.berth").mkdir()
    checkout.seal(root)
    with pytest.raises(PlaceTaken, match="berth"):
        checkout.place(root, RECORD)


def test_cut_while_it_is_moved__goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloned(root)
    checkout.seal(root)
    rename: Callable[..., None] = os.rename

    def second_fails(*arguments: object, **more: object) -> None:
        if arguments[0] == b"link":
            raise InterruptedError
        rename(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", second_fails)
        with pytest.raises(InterruptedError):
            checkout.place(root, RECORD)
    assert names(root) == {".berth", ".git"}
    checkout.place(root, RECORD)
    assert names(root) == {".berth", ".git", "src", "link"}


def test_record__of_nobody_knows_what(root: Path) -> None:
    (root / ".berth").mkdir()
    (root / ".berth/checkout.json").write_text("[1, 2]")
    assert checkout.placed(root) is None


def test_links_in_its_way__are_not_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "checkout").mkdir(parents=True)
    (outside / "checkout/x").write_text("x")
    (root / ".berth").symlink_to(outside)
    assert not checkout.is_whole(root)
    assert checkout.placed(root) is None
    checkout.clear(root)
    assert (outside / "checkout/x").exists()
    assert not (root / ".berth").is_symlink()
