"""What an app says of its sessions' workspaces, checked: the words of a refusal."""

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.runtime_manifests import AskedRuntimeManifest, RuntimeManifest
from control_plane.domain import runtime_manifests as domain


def manifest_of(
    asked: AskedRuntimeManifest, *, within: str = "runtime_manifest"
) -> RuntimeManifest:
    """Raises `validation_failed` that names the field, the path and the rule."""
    try:
        return domain.manifest_of(asked)
    except domain.WrongPath as error:
        field, expected = f"{within}.{error.field}", domain.EXPECTED[error.rule]
        shown = error.path[:300]
        raise BerthError(
            Code.VALIDATION,
            f"{field}: {shown!r} breaks the rule {error.rule}: expected {expected}",
            field=field,
            path=shown,
            rule=error.rule,
            expected=expected,
        ) from error
