"""`tenantprofile`: the operator and the tools around it, one command each."""

from __future__ import annotations

import io
import os
import sys
import traceback

import click

from tenantprofile import __version__
from tenantprofile.cli.about import complete_for_kubectl, completion, show_help, version
from tenantprofile.cli.audit import audit
from tenantprofile.cli.connections import connections
from tenantprofile.cli.diff import diff
from tenantprofile.cli.doctor import doctor
from tenantprofile.cli.exits import Exit
from tenantprofile.cli.explain import explain
from tenantprofile.cli.graph import graph
from tenantprofile.cli.guard import guard
from tenantprofile.cli.lint import lint
from tenantprofile.cli.needs import needs
from tenantprofile.cli.render import render
from tenantprofile.cli.run import run
from tenantprofile.cli.status import status
from tenantprofile.cli.templates import templates
from tenantprofile.cli.test import test


class _Commands(click.Group):
    """A group of which no command ends in a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A name in the input may hold what no terminal can show.
                stream.reconfigure(errors="backslashreplace")
        if os.environ.get("NO_COLOR"):
            ctx.color = False  # no-color.org
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, OSError):
            raise
        except Exception as error:
            if os.environ.get("TENANTPROFILE_DEBUG") or ctx.invoked_subcommand == "run":
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            click.echo(
                f"tenantprofile {ctx.invoked_subcommand}: this is a bug: {type(error).__name__}: {str(error)[:300]}"
                f" ({place.name}, line {place.lineno} of {os.path.basename(place.filename)}, version {__version__})."
                " Please report it with the input; TENANTPROFILE_DEBUG=1 shows the whole trace",
                err=True,
            )
            raise SystemExit(Exit.UNANSWERED) from None


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "TENANTPROFILE"},
    epilog="Each option can also be given in the environment: --log-format of `run` is"
    " TENANTPROFILE_RUN_LOG_FORMAT. Exit codes: `tenantprofile help exit-codes`. Shell completion: see"
    " `tenantprofile completion --help`.",
)
@click.version_option(__version__, prog_name="tenantprofile")
def main() -> None:
    """Network isolation for every tenant namespace, declared once and kept."""


main.add_command(run)
main.add_command(render)
main.add_command(lint)
main.add_command(test)
main.add_command(explain)
main.add_command(audit)
main.add_command(connections)
main.add_command(needs)
main.add_command(diff)
main.add_command(graph)
main.add_command(templates)
main.add_command(doctor)
main.add_command(status)
main.add_command(guard)
main.add_command(show_help)
main.add_command(version)
main.add_command(completion)
main.add_command(complete_for_kubectl)


def plugin() -> None:
    """`kubectl tenantprofile`."""
    main(prog_name="kubectl tenantprofile")


if __name__ == "__main__":
    main()
