"""A study, or one result, as one page that stands alone: the files of its folder in, HTML out.

Everything from the files is escaped, nothing is fetched, and of paths the page shows the names of the files alone.
Where images are gone their pictures are left out, and the page says why.
"""

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from graphreg.anatomy import UNITS as UNITS_OF_IMAGES
from graphreg.core.errors import InputError, PathInput
from graphreg.io import read_landmarks, write_text
from graphreg.runs.results import KEYPOINTS
from graphreg.study.report_contents import Case, Contents, Landmark, contents_of
from graphreg.study.report_pictures import Images
from graphreg.study.report_plots import Errors, box_plot, cumulative_plot

TEMPLATES = Path(__file__).parent / "templates"
WORST = 5  # landmarks of a case with a picture
MOST_POINTS = 2000  # keypoints of a case in the viewer
UNITS = {"mm": "mm", "ml": "ml", "percent": "%", "mib": "MiB"} | UNITS_OF_IMAGES
PATHS = ("path", "config_file")  # keys of a record
FOLDERS = re.compile(  # of a path at the start and before a colon or alone, which may have blanks; and of any without
    r"^(?:[A-Za-z]:|~|\.{1,2})?[\\/][^:\n]*[\\/](?=[^\\/:\n]+(?:: |$))"
    r"|(?<![\w<.])(?:[A-Za-z]:|~|\.{1,2})?[\\/](?:[^\\/\s:'\"]+[\\/])*(?=[\w.])"
)
SHORT = re.compile(r"[+-]?\d+(\.\d{0,3})?")  # numbers that need no rounding


def write_report(folder: PathInput, page: PathInput) -> None:
    """The page of a study folder, or of the folder of one result. Raises InputError before anything is written."""
    write_text(page, render(contents_of(folder)))


def render(study: Contents) -> str:
    """HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"heading": heading, "shown": shown, "json": as_json}
    style, script = ((TEMPLATES / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return environment.get_template("report.html.j2").render(
        study=study,
        links={case.name: number for number, case in enumerate(study.cases, 1)},
        cases=[show_case(case) for case in study.cases],
        columns=list(study.rows[0]) if study.rows else [],
        plots=plots(study.cases),
        style=Markup(style),  # both are ours
        script=Markup(script),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )


def show_case(case: Case) -> dict[str, Any]:
    """What the page shows of a case."""
    out: dict[str, Any] = {"case": case, "keypoints": None, "layers": {}, "jacobian": None, "note": ""}
    if (case.folder / KEYPOINTS).exists():
        out["keypoints"] = _keypoints(case.folder / KEYPOINTS)
    out["worst"] = [(landmark, {}) for landmark in _worst(case)]
    try:
        images = Images.read(case.folder, case.record)
    except InputError as error:
        return out | {"note": f"Pictures are left out: {shown(str(error).replace(f'{case.folder}/', ''))}"}
    out["worst"] = [(landmark, images.piece(landmark.fixed_mm)) for landmark in _worst(case)]
    return out | {"layers": images.layers(), "jacobian": images.jacobian()}


def plots(cases: list[Case]) -> list[tuple[str, list[Markup]]]:
    """Drawings of the errors in every set of landmarks."""
    out = []
    for name in dict.fromkeys(mark.landmark_set for case in cases for mark in case.landmarks):
        errors = {}
        for case in cases:
            marks = [mark for mark in case.landmarks if mark.landmark_set == name]
            if marks:
                errors[case.name] = Errors([mark.before_mm for mark in marks], [mark.after_mm for mark in marks])
        out.append((name, [Markup(draw(name, errors)) for draw in (cumulative_plot, box_plot)]))
    return out


def heading(name: str) -> str:
    """The name of a column in words, its unit in brackets."""
    *words, last = name.split("_")
    measured = last in UNITS and words and words[0] != "above"  # a share above so many mm has no unit
    return f"{' '.join(words)} ({UNITS[last]})" if measured else " ".join([*words, last])


def shown(value: Any) -> str:
    """A value as one reads it: numbers to three decimals, files without their folders."""
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    try:
        number = float(value)
    except (TypeError, ValueError):
        return FOLDERS.sub("", str(value))
    if not math.isfinite(number) or SHORT.fullmatch(str(value)):
        return str(value)
    return f"{number:.3f}" if abs(number) >= 0.01 else f"{number:.2g}"


def as_json(value: Any) -> str:
    """A record as text, files without their folders."""
    return json.dumps(_named(value), indent=2, ensure_ascii=False)


def _named(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _named(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_named(item) for item in value]
    if not isinstance(value, str):
        return value
    return PureWindowsPath(value).name if key in PATHS else FOLDERS.sub("", value)


def _worst(case: Case) -> list[Landmark]:
    """Landmarks with the largest errors, each place once, the worst first."""
    ordered = sorted(case.landmarks, key=lambda mark: -mark.after_mm)
    first: dict[tuple[float, ...], Landmark] = {}
    for mark in ordered:
        first.setdefault(mark.fixed_mm, mark)
    return list(first.values())[:WORST]


def _keypoints(path: Path) -> dict[str, Any]:
    """Positions about their centre and displacements, (x, y, z, dx, dy, dz) one after the other in tenths of a mm."""
    pairs = read_landmarks(path)
    every = math.ceil(len(pairs.fixed_mm) / MOST_POINTS)
    fixed_mm, moving_mm = pairs.fixed_mm[::every], pairs.moving_mm[::every]
    vectors_mm = moving_mm - fixed_mm
    centred_mm = fixed_mm - (fixed_mm.amin(0) + fixed_mm.amax(0)) / 2
    lengths_mm = vectors_mm.norm(dim=1)
    return {
        "values": (10 * torch.cat([centred_mm, vectors_mm], 1)).round().int().flatten().tolist(),
        "longest_mm": max(lengths_mm.quantile(0.98).item(), 0.1),
        "shown": len(fixed_mm),
        "count": len(pairs.fixed_mm),
    }
