"""The `berth` command: its subcommands, each imported only when it is called."""

from cyclopts import App

from chassis.version import VERSION

COMMANDS = {
    "up": (
        "cli.commands.up:up",
        (
            "Start Berth on this machine: database, object store and all services. Ctrl-C stops it."
            "\n\nState is kept in BERTH_HOME (~/.berth, as root /var/lib/berth)."
        ),
    ),
    "demo": (
        "cli.commands.demo:demo",
        (
            "Show what Berth does, on a stack of its own: needs nothing, leaves nothing."
            "\n\nThe last line of standard output is one JSON object."
        ),
    ),
    "run": (
        "cli.commands.run:run",
        "Send a message to an agent and show its answer. Ctrl-C leaves; the run goes on.",
    ),
    "ls": ("cli.commands.ls:ls", "List sessions, the newest first; with --runs, runs."),
    "show": (
        "cli.commands.show:show",
        "Show a run (its state, reason, answer) or a session (its runs).",
    ),
    "reply": (
        "cli.commands.reply:reply",
        "Answer a request: --allow, --reject, --text or --content. The first answer counts.",
    ),
    "stop": (
        "cli.commands.stop:stop",
        "Cancel a run. Its session stays, and so does what it has written.",
    ),
    "pull": (
        "cli.commands.pull:pull",
        "Fetch a session's changes as a patch for `git apply`, or its files into a directory.",
    ),
    "workers": (
        "cli.commands.workers:workers",
        "Workers of sessions, and who holds them: ls, show, logs, stop, drain, scale.",
    ),
    "workspace": (
        "cli.commands.workspace:workspace",
        "Workspaces as they are kept: verify, for administrators.",
    ),
    "sessions": (
        "cli.commands.sessions:sessions",
        "Whole sessions: fork, rollback, export, import, import-tree.",
    ),
    "snapshots": ("cli.commands.snapshots:snapshots", "A session's snapshots: ls."),
    "diff": (
        "cli.commands.diff:diff",
        "Show what the last snapshot changed, or how B differs from A; a patch that git takes.",
    ),
    "shell": (
        "cli.commands.shell:shell",
        "A terminal in a session's container; Ctrl-] leaves it, and it goes on.",
    ),
    "exec": (
        "cli.commands.exec:run_command",
        "Run a command in a session's container: berth exec SESSION -- CMD. Its exit code is ours.",
    ),
    "files": (
        "cli.commands.files:files",
        "A session's workspace: ls, cat, get, put, rm, mv, mkdir, search.",
    ),
    "limits": (
        "cli.commands.limits:limits",
        "How much a project and a user may use: show; set, for administrators.",
    ),
    "agents": (
        "cli.commands.agents:agents",
        "Agents: what each manager offers (ls), how they do (check).",
    ),
    "tool": (
        "cli.commands.tool:tool",
        "Speak for an agent: finish-task, block-task, request-input.",
    ),
    "doctor": (
        "cli.commands.doctor:doctor",
        "Look at this machine, its engine and stack. Code 6 when something Berth needs is missing.",
    ),
    "projects": (
        "cli.commands.projects:projects",
        "A project's own files, read-only in its sessions: files ls, get, put, rm, search.",
    ),
    "keys": ("cli.commands.keys:keys", "API keys: create, ls, revoke."),
    "egress": (
        "cli.commands.egress:egress",
        "What a project's sessions may reach: show, set; of an app too.",
    ),
    "models": ("cli.commands.models:models", "Model upstreams of a project: set, ls, rm."),
    "git": ("cli.commands.git:git", "A project's credentials for git hosts: set, ls, rm."),
}
"""Where each is, and its help: the overview imports none of them."""


def build_app() -> App:
    app = App(
        name="berth",
        help="Runs coding agents, each session in a berth of its own.",
        version=VERSION,
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, (target, summary) in COMMANDS.items():
        app.command(target, name=name, help=summary)
    return app
