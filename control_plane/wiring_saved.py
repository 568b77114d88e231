"""What keeps files: projects' own, and saved workspaces."""

from dataclasses import dataclass

from chassis.clock import SystemClock
from chassis.files.sensitive import Sensitive
from chassis.objects import ObjectStore
from control_plane.services.collection import Collection
from control_plane.services.differences import Differences
from control_plane.services.exports import Exports
from control_plane.services.forks import Forks
from control_plane.services.imports import Imports
from control_plane.services.layers import Layers
from control_plane.services.manifests import Manifests
from control_plane.services.pace import Pace
from control_plane.services.project_file_search import ProjectFileSearch
from control_plane.services.project_file_views import ProjectFileViews
from control_plane.services.project_files import Bounds as FileBounds
from control_plane.services.project_files import ProjectFiles
from control_plane.services.project_objects import ProjectObjects
from control_plane.services.project_uploads import ProjectUploads
from control_plane.services.restore_plans import RestorePlans
from control_plane.services.rollbacks import Rollbacks
from control_plane.services.sensitive import SensitiveNames
from control_plane.services.snapshots import Snapshots
from control_plane.services.tree_building import TreeBuilding
from control_plane.services.tree_exports import TreeExports
from control_plane.services.tree_imports import TreeImports
from control_plane.services.verifications import Verifications
from control_plane.services.verifying import Verifying
from control_plane.services.wakeups import Wakeups
from control_plane.services.workspace_files import WorkspaceFiles
from control_plane.settings import Settings
from control_plane.store.database import Database
from control_plane.wiring_shared import Shared

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A project's own files, and what is made of them; each is a field of `Services` too."""

    project_file_search: ProjectFileSearch
    project_file_views: ProjectFileViews
    project_files: ProjectFiles
    project_objects: ProjectObjects
    project_uploads: ProjectUploads


def build_files(settings: Settings, database: Database, objects: ObjectStore) -> Files:
    held = ProjectObjects(database, objects, grace=settings.project_files_grace_seconds)
    bounds = FileBounds(
        file_bytes=settings.project_file_mib * MIB,
        project_bytes=settings.project_files_mib * MIB,
        entries=settings.project_files_count,
    )
    sensitive = Sensitive(settings.sensitive_names)
    files = ProjectFiles(database, held, sensitive=sensitive, bounds=bounds)
    views = ProjectFileViews(database, files, held)
    return Files(
        project_file_search=ProjectFileSearch(database, files, views, held),
        project_file_views=views,
        project_files=files,
        project_objects=held,
        project_uploads=ProjectUploads(database, files, held, bounds=bounds),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What is done with saved workspaces; each is a field of `Services` too."""

    collection: Collection
    diffs: Differences
    exports: Exports
    forks: Forks
    imports: Imports
    manifests: Manifests
    restore_plans: RestorePlans
    rollbacks: Rollbacks
    snapshots: Snapshots
    tree_exports: TreeExports
    tree_imports: TreeImports
    verifications: Verifications
    verifying: Verifying
    workspace_files: WorkspaceFiles


def build_saved(
    settings: Settings,
    database: Database,
    wakeups: Wakeups,
    objects: ObjectStore,
    others: tuple[Shared, Files, SensitiveNames],
) -> Saved:
    shared, files, names = others
    manifests, layers = Manifests(objects), Layers(files.project_files)
    once = shared.idempotency
    return Saved(
        collection=Collection(database, objects, settings.retention),
        diffs=Differences(database, manifests, names),
        exports=Exports(database, manifests),
        forks=Forks(database, manifests, idempotency=once),
        imports=_imports(settings, database, objects, shared),
        manifests=manifests,
        restore_plans=RestorePlans(database, layers, manifests),
        rollbacks=Rollbacks(
            database, wakeups, manifests, idempotency=once, poll_seconds=settings.poll_seconds
        ),
        snapshots=Snapshots(database, objects, layers),
        tree_exports=TreeExports(database, manifests, names),
        tree_imports=TreeImports(
            database,
            manifests,
            TreeBuilding(database, objects, most=settings.import_mib * MIB),
            idempotency=once,
        ),
        verifications=Verifications(database),
        verifying=Verifying(
            database, objects, pace=Pace(SystemClock(), settings.verify_mib_per_second * MIB)
        ),
        workspace_files=WorkspaceFiles(database, manifests, names),
    )


def _imports(
    settings: Settings, database: Database, objects: ObjectStore, shared: Shared
) -> Imports:
    return Imports(
        database,
        objects,
        idempotency=shared.idempotency,
        apps=shared.apps,
        limit=settings.import_mib * MIB,
    )
