"""`berth projects files` against a real stack."""

from pathlib import Path

from cli.exits import Exit
from tests.fixtures.commands import Up


def test_files__there_and_back(up: Up, tmp_path: Path) -> None:
    source, target = tmp_path / "guide.md", tmp_path / "back.md"
    source.write_bytes(b"hello " * 100_000)
    done = up.run("projects", "files", "put", str(source), "docs/guide & co.md")
    assert done.code == Exit.OK, done.err
    assert done.out.startswith("Made docs/guide & co.md: 600000 bytes")
    assert "docs/" in up.run("projects", "files", "ls").out
    assert "docs/guide & co.md" in up.run("projects", "files", "ls", "--depth", "2").out
    assert up.run("projects", "files", "ls", "no \udcff utf-8").code == Exit.NOT_FOUND
    (entry,) = up.run("projects", "files", "ls", "docs", "--json").json()
    assert (entry["path"], entry["size"]) == ("docs/guide & co.md", 600000)
    assert up.run("projects", "files", "search", "--name", "GUIDE").out == "docs/guide & co.md\n"
    (found,) = up.run("projects", "files", "search", "--text", "o hello", "--json").json()
    assert found["lines"][0]["number"] == 1
    assert up.run("projects", "files", "search", "docs", "--text", "none").out == ""
    got = up.run("projects", "files", "get", "docs/guide & co.md", str(target))
    assert got.code == Exit.OK, got.err
    assert target.read_bytes() == source.read_bytes()
    source.write_bytes(b"new")
    wrong = up.run(
        "projects", "files", "put", str(source), "docs/guide & co.md", "--etag", "0" * 64
    )
    assert (wrong.code, "changed meanwhile" in wrong.err) == (Exit.REFUSED, True)
    refused = up.run("projects", "files", "put", str(source), "docs/guide & co.md", "--new")
    assert refused.code == Exit.REFUSED
    etag = entry["etag"].strip('"')
    again = up.run("projects", "files", "put", str(source), "docs/guide & co.md", "--etag", etag)
    assert again.out.startswith("Replaced")
    assert up.run("projects", "files", "rm", "docs").code == Exit.OK
    missing = up.run("projects", "files", "get", "docs/guide & co.md", str(target))
    assert missing.code == Exit.NOT_FOUND
    assert target.read_bytes() == b"hello " * 100_000
    assert sorted(one.name for one in tmp_path.iterdir()) == ["back.md", "guide.md"]


def test_put__a_tree_all_of_it_or_nothing(up: Up, tmp_path: Path) -> None:
    source = tmp_path / "guides"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.md").write_bytes(b"a")
    (source / "run.sh").write_bytes(b"b")
    (source / "run.sh").chmod(0o755)
    done = up.run("projects", "files", "put", str(source))
    assert (done.code, done.out) == (Exit.OK, "Wrote 2 files to guides.\n"), done.err
    target = tmp_path / "back"
    assert up.run("projects", "files", "get", "guides/deep/a.md", str(target)).code == Exit.OK
    assert target.read_bytes() == b"a"
    assert up.run("projects", "files", "put", str(source), "--new").code == Exit.USAGE
    (source / "link").symlink_to("run.sh")
    (source / "deep" / "a.md").write_bytes(b"changed")
    refused = up.run("projects", "files", "put", str(source))
    assert (refused.code, "link: expected files" in refused.err) == (Exit.USAGE, True)
    assert up.run("projects", "files", "get", "guides/deep/a.md", str(target)).code == Exit.OK
    assert target.read_bytes() == b"a"
    assert up.run("projects", "files", "rm", "guides").code == Exit.OK


def test_put__what_is_not_there(up: Up, tmp_path: Path) -> None:
    done = up.run("projects", "files", "put", str(tmp_path / "none"))
    assert (done.code, "none" in done.err) == (Exit.USAGE, True)
    bad = up.run("projects", "files", "rm", "../x")
    assert (bad.code, "plain_parts" in bad.err) == (Exit.USAGE, True)
