import os
import pwd
from pathlib import Path

import pytest

from cli.embedded.access import (
    User,
    can_read_tree,
    can_traverse,
    closed_at,
    database_user,
    link_tree,
    require_traversable,
    switch,
)
from cli.embedded.errors import StateUnusable

STRANGER = User(uid=54321, gid=54321)


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """Everybody can get here."""
    for place in (tmp_path, *tmp_path.parents):
        if place.stat().st_uid == os.geteuid() and place.stat().st_mode & 0o001 == 0:
            place.chmod(0o711)
    return tmp_path


def test_can_traverse__every_ancestor_counts(open_folder: Path) -> None:
    deep = open_folder / "closed" / "deep"
    deep.mkdir(parents=True)
    assert can_traverse(deep, STRANGER.uid, [STRANGER.gid])
    (open_folder / "closed").chmod(0o700)
    assert closed_at(deep, STRANGER) == open_folder / "closed"
    assert can_traverse(deep, os.geteuid(), [])


def test_can_traverse__by_group(open_folder: Path) -> None:
    folder = open_folder / "grouped"
    folder.mkdir(mode=0o750)
    folder.chmod(0o750)
    assert can_traverse(folder, STRANGER.uid, [folder.stat().st_gid])
    assert not can_traverse(folder, STRANGER.uid, [STRANGER.gid])


def test_can_traverse__a_link_leads_elsewhere(open_folder: Path) -> None:
    hidden = open_folder / "hidden"
    (hidden / "target").mkdir(parents=True)
    hidden.chmod(0o700)
    link = open_folder / "link"
    link.symlink_to(hidden / "target")
    assert closed_at(link, STRANGER) == hidden


def test_require_traversable__says_what_to_do(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(StateUnusable, match=r"cannot enter .*Set BERTH_HOME"):
        require_traversable(closed / "home", STRANGER)


def test_link_tree__readable_by_all_writable_by_none(open_folder: Path) -> None:
    source = open_folder / "source"
    (source / "in").mkdir(parents=True, mode=0o700)
    (source / "plain").write_text("a")
    (source / "plain").chmod(0o644)
    (source / "in" / "closed").write_text("b")
    (source / "in" / "closed").chmod(0o600)
    (source / "in" / "tool").write_text("c")
    (source / "in" / "tool").chmod(0o777)
    (source / "test").mkdir()
    (source / "in" / "module.pyc.1234").touch()
    target = open_folder / "target"

    link_tree(source, target, without=("test",))

    assert can_read_tree(target, STRANGER)
    assert not can_read_tree(source, STRANGER)
    assert (target / "plain").samefile(source / "plain")
    assert (source / "in" / "closed").stat().st_mode & 0o777 == 0o600
    assert (target / "in" / "tool").stat().st_mode & 0o777 == 0o755
    assert not (target / "test").exists()
    assert not (target / "in" / "module.pyc.1234").exists()


def test_database_user__the_first_that_exists() -> None:
    assert database_user("no-such-user", "nobody").uid == pwd.getpwnam("nobody").pw_uid
    with pytest.raises(StateUnusable, match="Create one"):
        database_user("no-such-user")


def test_switch__nothing_to_do_for_oneself() -> None:
    assert switch(None) == {}
    assert switch(User(uid=os.geteuid(), gid=os.getegid())) == {}
    assert switch(STRANGER) == {"user": 54321, "group": 54321, "extra_groups": ()}
