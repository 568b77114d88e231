"""Secrets that a person gives to a command: from a file, standard input or a prompt, never an
argument, which others on the machine could read.
"""

import getpass
import sys
from pathlib import Path

from cli.exits import CliError, Exit


def secret_from(file: str, option: str) -> str:
    """`-` is standard input."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CliError(f"{option} {file}: {told}", Exit.USAGE) from error
    if not text.strip():
        raise CliError(f"{option} {file}: it is empty.", Exit.USAGE)
    return text.strip()


def secret_asked(question: str, option: str) -> str:
    """Of whoever sits there, unseen; else what standard input holds."""
    if not sys.stdin.isatty():
        return secret_from("-", option)
    try:
        said = getpass.getpass(f"{question}: ").strip()
    except EOFError:
        said = ""
    if not said:
        raise CliError(f"{question}: it is empty.", Exit.USAGE)
    return said
