"""``graphreg report``: a study or a result to look at in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options
from graphreg.cli.console import say
from graphreg.core.errors import InputError

PAGE = "report.html"
EXTRA = ("jinja2", "markupsafe", "PIL")  # what the extra [report] brings

Folder = Annotated[
    Path, typer.Argument(metavar="OUT", help="Folder of a study, or of one result of 'graphreg register'.")
]
OutPage = Annotated[
    Path | None, typer.Option("-o", "--out", metavar="FILE", help=f"HTML file to write; else OUT/{PAGE}.")
]


def report(folder: Folder, out: OutPage = None, debug: options.Debug = False) -> None:
    """Put a study, or one result, on a page to look at.

    One HTML file with tables, curves of the errors, and of every case pictures before and after, the Jacobian, the
    keypoints in space and the worst landmarks. It stands alone: nothing is fetched when it is opened. It holds pictures
    of the patients. Needs the extra [report].
    """
    from graphreg.io.files import require_suffix, require_writable

    page = folder / PAGE if out is None else out
    require_suffix(page, (".html", ".htm"))
    require_writable(page)
    try:
        from graphreg.study.report import write_report
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise InputError(f"report needs {error.name}: pip install graphreg[report]") from None
    write_report(folder, page)
    say(f"{folder}: report in {page}")
