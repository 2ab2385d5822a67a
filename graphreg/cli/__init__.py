"""The program ``graphreg``: one verb per job. Thin: files in, the library's work, files and a few lines out."""

import sys
from collections.abc import Sequence

import typer

from graphreg import __version__
from graphreg.cli.check_data import check_data
from graphreg.cli.compare import compare
from graphreg.cli.console import INTERRUPTED, State, Terminated, ending_in_order, failure
from graphreg.cli.demo import demo
from graphreg.cli.evaluate import evaluate
from graphreg.cli.export import export
from graphreg.cli.invert import invert
from graphreg.cli.jacobian import jacobian
from graphreg.cli.phantom import phantom
from graphreg.cli.points import points
from graphreg.cli.register import register
from graphreg.cli.report import report
from graphreg.cli.study import study
from graphreg.cli.train import train
from graphreg.cli.ventilation import ventilation
from graphreg.cli.warp import warp
from graphreg.runtime.malloc import keep_freed_memory

app = typer.Typer(
    name="graphreg",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
VERBS = (
    register,
    warp,
    points,
    invert,
    export,
    evaluate,
    jacobian,
    ventilation,
    study,
    compare,
    report,
    check_data,
    phantom,
    demo,
    train,
)
for verb in VERBS:
    app.command()(verb)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"graphreg {__version__}")
        raise typer.Exit


@app.callback()
def graphreg(
    version: bool = typer.Option(False, "--version", callback=show_version, is_eager=True, help="Show the version."),
) -> None:
    """Align two medical images, such as chest CT of one patient breathed in and out, and tell how well it went.

    All points and lengths are in mm, LPS. Every transform maps points of the fixed to the moving image.
    Exit codes: 0 done, 1 the work failed, 2 the input or the options are wrong.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with these arguments, or those of the command line; returns the exit code."""
    keep_freed_memory()
    state = State()
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        with ending_in_order():
            code = app(arguments, prog_name="graphreg", standalone_mode=False, obj=state)
        if code == INTERRUPTED:  # as newer typers say it
            raise KeyboardInterrupt
        return int(code or 0)
    except (Exception, KeyboardInterrupt, Terminated) as error:
        return failure(error, state.debug)
