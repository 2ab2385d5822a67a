"""``graphreg --version``"""

import typer

from graphreg import __version__


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"graphreg {__version__}")
        raise typer.Exit
