"""What decides whether an image is built again, and what a build is told of its host."""

import re
from pathlib import Path

import pytest

from deploy.build_arguments import parse_pip_configuration
from deploy.images import AGENTS, EXECUTOR, ROOT, SERVICES, Own, digest_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("one = 1\n")
    (tmp_path / "lock").write_text("one==1\n")
    return tmp_path


def digest(tree: Path, *words: str) -> str:
    return digest_of(tree, ["package", "lock"], words)


def test_digest__says_what_is_in_it(tree: Path) -> None:
    first = digest(tree)
    (tree / "package" / "__pycache__").mkdir()
    (tree / "package" / "__pycache__" / "module.pyc").write_text("")
    (tree / "beside").write_text("")
    (tree / "lock").touch()
    assert digest(tree) == first
    found = {first, digest(tree, "another base")}
    (tree / "package" / "module.py").chmod(0o755)
    found.add(digest(tree))
    (tree / "package" / "module.py").write_text("one = 2\n")
    found.add(digest(tree))
    (tree / "package" / "module.py").rename(tree / "package" / "other.py")
    found.add(digest(tree))
    assert len(found) == 5


@pytest.mark.parametrize("own", [SERVICES, EXECUTOR, AGENTS], ids=lambda own: own.tag)
def test_digest__covers_all_that_is_copied(own: Own) -> None:
    text = (ROOT / own.dockerfile).read_text()
    copied = re.findall(r"^COPY (?!--from)(\S+) ", text, re.MULTILINE)
    assert set(copied) == set(own.sources)
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{source}" for source in copied} <= set(allowed)


@pytest.mark.parametrize("own", [SERVICES, EXECUTOR, AGENTS], ids=lambda own: own.tag)
def test_dockerfiles__need_no_newer_builder(own: Own) -> None:
    text = (ROOT / own.dockerfile).read_text()
    assert not re.search(r"<<|--link|--mount|--chmod|^# *syntax=", text, re.MULTILINE)
    assert "--require-hashes" in text


def test_build_arguments__a_directory_of_this_host_is_not_in_a_build() -> None:
    listed = """\
:env:.index-url='https://index.example/simple'
global.cert='/etc/ssl/certs/ca-certificates.crt'
global.extra-index-url='file:///srv/simple https://more.example/simple'
global.find-links='/srv/wheels'
global.index-url='https://other.example/simple'
"""
    assert parse_pip_configuration(listed) == {
        "PIP_INDEX_URL": "https://index.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://more.example/simple",
    }
    assert parse_pip_configuration("") == {}
