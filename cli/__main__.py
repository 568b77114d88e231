"""`berth`, also as `python -m cli`."""

import sys
from typing import Any

from cyclopts import CycloptsError

from cli.app import build_app
from cli.embedded import errors as embedded
from cli.exits import CliError, Exit
from cli.output import Output

_EXITS: dict[type[embedded.EmbeddedError], Exit] = {
    embedded.BinariesMissing: Exit.DEPENDENCY_MISSING,
    embedded.DiskFull: Exit.DEPENDENCY_MISSING,
    embedded.OtherVersion: Exit.DEPENDENCY_MISSING,
    embedded.StateUnusable: Exit.USAGE,
    embedded.StateInUse: Exit.REFUSED,
    embedded.PortTaken: Exit.REFUSED,
}


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """An `Exit`, or what a command in a session ended with."""
    try:
        result: Any = build_app()(arguments, exit_on_error=False)
    except CycloptsError:
        return Exit.USAGE  # it has been printed
    except CliError as error:
        Output().error(str(error))
        return error.exit_code
    except embedded.EmbeddedError as error:
        Output().error(str(error))
        return _EXITS.get(type(error), Exit.RUN_FAILED)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return Exit.OK
    return result if isinstance(result, int) else Exit.OK


if __name__ == "__main__":
    main()
