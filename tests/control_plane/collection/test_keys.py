"""Whose an object is stands in its key; whatever is no plain key of a session is nobody's."""

from uuid import UUID, uuid4

import pytest

from contracts.snapshots import SnapshotDraft, SnapshotKind
from control_plane.domain.packs import Owner, is_of, naming_of, owner_of, purpose_of, session_prefix

# the same in every process: they are in the names of tests
PROJECT, SESSION = UUID(int=0x98403542F7C84AA7A716E120FFEB7356), UUID(int=1)
PREFIX = session_prefix(PROJECT, SESSION)


def test_owner__of_what_was_given_for_an_upload() -> None:
    key = f"{PREFIX}7/{uuid4()}.pack"
    assert owner_of(key) == Owner(project_id=PROJECT, session_id=SESSION)
    assert is_of(PROJECT, key)
    assert not is_of(uuid4(), key)
    assert [purpose_of(f"{PREFIX}1/x.{end}") for end in ("pack", "manifest", "spool", "x")] == [
        "pack",
        "manifest",
        "spool",
        "pack",
    ]


@pytest.mark.parametrize(
    "key",
    [
        "",
        PREFIX,
        f"{PREFIX}../x",
        f"{PREFIX}./x",
        f"{PREFIX}a//b",
        f"{PREFIX}x\0",
        f"{PREFIX}x\n",
        f"{PREFIX}\N{LATIN SMALL LETTER E WITH ACUTE}",
        f"/{PREFIX}x",
        f"{PREFIX}{'x' * 301}",
        f"p/{PROJECT.hex}/f/x",
        f"p/{PROJECT}/s/{SESSION}/x",
    ],
)
def test_owner__of_anything_else_is_nobody(key: str) -> None:
    assert owner_of(key) is None


def _draft(packs: list[str], content: int) -> SnapshotDraft:
    return SnapshotDraft(
        id=UUID(int=1),
        type=SnapshotKind.CHECKPOINT,
        parent=None,
        manifest_key=f"{PREFIX}m",
        manifest_sha256="0" * 64,
        files=1,
        bytes=content,
        packs=packs,
    )


def test_naming__of_a_commit_that_does_not_list_its_packs_is_not_whole() -> None:
    """An executor of the former version; one that has no content has none to list."""
    for packs, content, whole in (([], 1, False), ([], 0, True), ([f"{PREFIX}p"], 1, True)):
        draft = _draft(packs, content)
        assert naming_of(draft, project_id=PROJECT, session_id=SESSION).whole is whole
    foreign = _draft([f"{PREFIX}p", f"p/{uuid4().hex}/s/{SESSION.hex}/p"], 1)
    naming = naming_of(foreign, project_id=PROJECT, session_id=SESSION, spool_key=f"{PREFIX}s")
    assert naming.all_keys == (f"{PREFIX}p", f"{PREFIX}m", f"{PREFIX}s")
