"""Floor 5: the commands. `main` is what the `ksmlab` script calls.

Exit status: 0 all well; 1 a run failed, an expectation was not met or results could not be written; 2 bad input;
130 interrupted; 141 the reader of a pipe went away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_INTERRUPTED = 130
_BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status; what goes wrong is told on standard error."""
    import click

    from ksmlab_core.cli.app import app
    from ksmlab_core.errors import KsmlabError

    try:
        status = app.main(arguments, prog_name="ksmlab", standalone_mode=False)
        sys.stdout.flush()
        return int(status or 0)
    except KsmlabError as error:
        sys.stdout.flush()
        click.echo(str(error), err=True)
        return error.exit_status
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("interrupted; runs that had finished are kept", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        # What is left in the buffer must not be tried again when Python shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
