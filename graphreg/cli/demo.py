"""``graphreg demo``: the whole program shown on a phantom."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options

Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the result and the pictures.")]


def demo(out: Out = Path("graphreg-demo"), seed: options.PhantomSeed = 0, debug: options.Debug = False) -> None:
    """Register a phantom and measure the result.

    Makes a breathing phantom pair, registers it, measures the error against the exact motion, and draws both.

    Writes the phantom to OUT/phantom, the result to OUT as 'graphreg register' does, and overlays to OUT as
    comparison.png: fixed image red, moving image cyan, above before and below after registration.
    """
    from graphreg.cli.demonstration import demonstrate

    demonstrate(out, seed)
