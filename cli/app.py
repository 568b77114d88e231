"""The `berth` command: its subcommands, each imported only when it is called."""

from cyclopts import App

from chassis.version import VERSION

COMMANDS = {
    "up": "cli.commands.up:up",
    "demo": "cli.commands.demo:demo",
    "run": "cli.commands.run:run",
    "ls": "cli.commands.ls:ls",
    "show": "cli.commands.show:show",
    "reply": "cli.commands.reply:reply",
    "stop": "cli.commands.stop:stop",
    "doctor": "cli.commands.doctor:doctor",
    "keys": "cli.commands.keys:keys",
}


def build_app() -> App:
    app = App(
        name="berth",
        help="Runs coding agents, each session in a berth of its own.",
        version=VERSION,
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, target in COMMANDS.items():
        app.command(target, name=name)
    return app
