"""Who may do what with a project's files, and on which condition: the words of a refusal."""

from chassis.errors import BerthError, NotFound, Stale
from chassis.files.ranges import names_etag
from contracts.errors import Code
from contracts.project_files import PROJECT_PATH_BYTES, ProjectFileRule
from control_plane.domain.project_files import FileRow, Right, Rules, Visitor, etag_of
from control_plane.domain.runtime_manifests import EXPECTED, NAME_BYTES, broken_parts

WORDS_CHARACTERS = 255
LENGTHS = f"at most {PROJECT_PATH_BYTES} bytes, and {NAME_BYTES} in each part"


class Hidden(NotFound):
    """Whether it is there or not: whoever asks may not know."""


def require(rules: Rules, visitor: Visitor, path: str, right: Right) -> None:
    """Raises `not_found` for what may not even be read, `forbidden`, `sensitive_path`."""
    if rules.may(visitor.role, path, right):
        return
    pattern = rules.sensitive.pattern_of(path.encode())
    if pattern is not None and rules.may_unless_sensitive(visitor.role, path, right):
        raise BerthError(
            Code.SENSITIVE_PATH,
            f"path: {path[:300]} is for owners: its name fits {pattern}",
            path=path[:300],
            pattern=pattern,
        )
    if right == "write" and rules.may(visitor.role, path, "read"):
        raise forbidden(visitor, path, right)
    raise absent(path, "path", Hidden)


def forbidden(visitor: Visitor, path: str, right: Right, what: str = "") -> BerthError:
    whole = f"{what} {path[:300]}".strip()
    return BerthError(
        Code.FORBIDDEN,
        f"path: a {visitor.role.value} may not {right} {whole}",
        role=visitor.role.value,
        path=path[:300],
    )


def require_path(path: str, field: str = "path") -> None:
    rule = broken_parts(path) or ("length" if len(path.encode()) > PROJECT_PATH_BYTES else None)
    if rule is not None:
        expected = LENGTHS if rule == "length" else EXPECTED[rule]
        raise BerthError(
            Code.VALIDATION,
            f"{field}: {path[:300]!r} breaks the rule {rule}: expected {expected}",
            field=field,
            path=path[:300],
            rule=rule,
            expected=expected,
        )


def require_rules(rules: list[ProjectFileRule]) -> None:
    for number, rule in enumerate(rules):
        if rule.prefix:
            require_path(rule.prefix, f"rules[{number}].prefix")
        if rule.prefix in {one.prefix for one in rules[:number]}:
            raise wrong(f"rules[{number}].prefix", rule.prefix, "each prefix once")


def require_words(words: str) -> None:
    if not 0 < len(words) <= WORDS_CHARACTERS or "\0" in words:
        raise wrong("name", words, f"a part of a name, of 1 to {WORDS_CHARACTERS} characters")


def require_tags(
    row: FileRow | None, if_match: str | None, if_none_match: str | None = None
) -> None:
    """`If-Match` and `If-None-Match`; raises `version_conflict`."""
    if row is not None and row.sha256 is None and not if_match:
        return
    etag = etag_of(row.sha256) if row is not None and row.sha256 is not None else None
    matches = etag is not None and if_match and names_etag(if_match, etag)
    if if_match and not matches:
        raise Stale(Code.VERSION_CONFLICT, "If-Match: it was changed meanwhile", etag=etag)
    if if_none_match and etag is not None and names_etag(if_none_match, etag):
        raise Stale(Code.VERSION_CONFLICT, "If-None-Match: there is such a file", etag=etag)


def absent(path: str, field: str, kind: type[NotFound] = NotFound) -> NotFound:
    return kind(Code.NOT_FOUND, f"{field}: there is no {path[:300]}", path=path[:300])


def taken(field: str, path: str) -> Stale:
    return Stale(Code.CONFLICT, f"{field}: {path[:300]} is there already", field=field)


def wrong(field: str, path: str, expected: str) -> BerthError:
    return BerthError(
        Code.VALIDATION,
        f"{field}: expected {expected}",
        field=field,
        path=path[:300],
        expected=expected,
    )
