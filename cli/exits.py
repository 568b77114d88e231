"""How the `berth` command ends: the exit codes, and the error that carries one."""

import enum


class Exit(enum.IntEnum):
    """Fixed: scripts may rely on them."""

    OK = 0
    RUN_FAILED = 1
    """The run ended as failed, blocked or canceled; for `up` and `demo`: it did not work; for
    `workspace verify`: something is damaged.
    """
    USAGE = 2
    """Wrong arguments or settings."""
    UNREACHABLE = 3
    """Nothing answers, or it refuses the key."""
    NOT_FOUND = 4
    WAITING = 5
    """The run waits for a person, and nobody was there to ask."""
    DEPENDENCY_MISSING = 6
    """An agent, a program, a disk or a service that is needed is not there."""
    REFUSED = 7
    """The API said no: a conflict, a limit, a role."""
    STILL_RUNNING = 8
    """The time to wait was over before the run was."""
    KEY_MISSING = 9
    """No key of a model provider is set, and there is nothing to talk to a model with."""
    INTERNAL = 70
    """A defect: of this command, or an answer that makes no sense."""
    INTERRUPTED = 130


class CliError(Exception):
    """The message is for the person at the terminal and says what to do."""

    def __init__(self, message: str, exit_code: Exit) -> None:
        super().__init__(message)
        self.exit_code = exit_code
