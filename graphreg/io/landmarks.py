"""Points and landmark pairs: csv files and the point lists of 3D Slicer <-> tensors in LPS millimetres.

Slicer stores LPS or RAS and says which; RAS has x and y turned round.
"""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphreg.core.errors import PathInput, unsuitable
from graphreg.core.records import Landmarks
from graphreg.io.files import exists, require_suffix, write_text
from graphreg.io.json_text import parse_json

PAIR = ("fixed_x", "fixed_y", "fixed_z", "moving_x", "moving_y", "moving_z")
FRAMES = {("x", "y", "z"): "LPS", ("l", "p", "s"): "LPS", ("r", "a", "s"): "RAS"}  # headers of point lists
SYSTEMS = {"LPS": "LPS", "1": "LPS", "RAS": "RAS", "0": "RAS"}  # numbers in .fcsv files of old versions of Slicer
TO_LPS = {"LPS": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0)}
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
FAR_MM = 1e6  # no point of a patient lies there

Row = tuple[int, list[str]]  # line number, cells


def read_landmarks(path: PathInput) -> Landmarks:
    """Pairs from a csv file with columns fixed_x .. moving_z in mm; other columns are ignored. Raises InputError."""
    (_, header), *rows = _rows(path, _lines(path))
    columns = _columns(path, header, PAIR)
    values = _numbers(path, rows, columns, len(header))
    return Landmarks(values[:, :3], values[:, 3:])


def read_landmark_lists(fixed: PathInput, moving: PathInput) -> Landmarks:
    """Pairs from two point lists in the same order. Raises InputError."""
    fixed_mm, moving_mm = read_points(fixed), read_points(moving)
    if len(fixed_mm) != len(moving_mm):
        raise unsuitable(moving, f"{len(fixed_mm)} points as in {fixed}", f"{len(moving_mm)}")
    return Landmarks(fixed_mm, moving_mm)


def read_points(path: PathInput) -> Tensor:
    """Points (N, 3), float64, LPS mm, from .csv, .fcsv or .mrk.json. Raises InputError.

    A csv file has the header x,y,z (or l,p,s or r,a,s as Slicer writes), or no header and three columns.
    """
    name = Path(path).name.lower()
    if name.endswith(".json"):
        return _read_markups(path)
    return _read_fcsv(path) if name.endswith(".fcsv") else _read_csv(path)


def write_points(path: PathInput, points_mm: Tensor) -> None:
    """Points (N, 3) in LPS mm to .csv, .fcsv or .mrk.json, whole or not at all."""
    writers = {".csv": _csv_text, ".fcsv": _fcsv_text, ".mrk.json": _markups_text}
    write_text(path, writers[require_suffix(path, tuple(writers))](points_mm.tolist()))


def write_landmarks(path: PathInput, landmarks: Landmarks) -> None:
    """Pairs to a csv file that ``read_landmarks`` reads."""
    require_suffix(path, (".csv",))
    write_text(path, _table(PAIR, torch.cat([landmarks.fixed_mm, landmarks.moving_mm], 1).tolist()))


def write_keypoints(path: PathInput, fixed_mm: Tensor, moving_mm: Tensor, confidence: Tensor) -> None:
    """Keypoints (N, 3), where each went (N, 3), and how sure that is (N,), to a csv file."""
    require_suffix(path, (".csv",))
    rows = torch.cat([fixed_mm, moving_mm, confidence[:, None]], 1).tolist()
    write_text(path, _table((*PAIR, "confidence"), rows))


def _lines(path: PathInput) -> list[str]:
    if not exists(path) or not Path(path).is_file():
        raise unsuitable(path, "a file of points", "a folder" if exists(path) else "nothing")
    try:
        return Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise unsuitable(path, "a text file", "bytes that are not text") from None


def _rows(path: PathInput, lines: Iterable[str]) -> list[Row]:
    """Cells of the lines that are not blank, numbered from 1; at least one."""
    try:
        rows = [(number, [c.strip() for c in cells]) for number, cells in enumerate(csv.reader(lines), 1) if any(cells)]
    except csv.Error as error:
        raise unsuitable(path, "a table of points", f"a file that cannot be read: {error}") from None
    if not rows:
        raise unsuitable(path, "points", "an empty file")
    return rows


def _columns(path: PathInput, header: Sequence[str], names: Sequence[str]) -> list[int]:
    lower = [name.lower() for name in header]
    if any(lower.count(name) != 1 for name in names):
        raise unsuitable(path, f"a header with {','.join(names)}", f"'{','.join(header)[:80]}'")
    return [lower.index(name) for name in names]


def _numbers(path: PathInput, rows: Sequence[Row], columns: Sequence[int], width: int | None = None) -> Tensor:
    """Numbers (N, columns) of rows that have no more cells than the header where its width is given."""
    if not rows:
        raise unsuitable(path, "points", "a header alone")
    return torch.tensor([_cells(path, row, columns, width) for row in rows], dtype=torch.float64)


def _cells(path: PathInput, row: Row, columns: Sequence[int], width: int | None) -> list[float]:
    line, cells = row
    if width is not None and len(cells) > width:  # as of numbers with a decimal comma
        raise unsuitable(path, f"{width} cells in line {line}", f"'{','.join(cells)[:80]}'")
    try:
        values = [float(cells[column]) for column in columns]
    except (ValueError, IndexError):
        values = [math.nan]
    if not all(abs(value) <= FAR_MM for value in values):  # nor NaN
        raise unsuitable(path, f"{len(columns)} numbers in mm in line {line}", f"'{','.join(cells)[:80]}'")
    return values


def _read_csv(path: PathInput) -> Tensor:
    rows = _rows(path, _lines(path))
    header = rows[0][1]
    for names, frame in FRAMES.items():
        if set(names) <= {cell.lower() for cell in header}:
            return _to_lps(_numbers(path, rows[1:], _columns(path, header, names), len(header)), frame)
    for line, cells in rows:
        if len(cells) != 3:
            raise unsuitable(path, f"the header x,y,z or three columns in line {line}", f"'{','.join(cells)[:80]}'")
    return _numbers(path, rows, (0, 1, 2))


def _read_fcsv(path: PathInput) -> Tensor:
    lines = _lines(path)
    remarks = dict(line.strip("# ").partition(" = ")[::2] for line in lines if line.startswith("#") and " = " in line)
    system = SYSTEMS.get(remarks.get("CoordinateSystem", "").strip())
    if system is None:
        raise unsuitable(path, "a line '# CoordinateSystem = LPS' or RAS", f"'{remarks.get('CoordinateSystem', '')}'")
    header = remarks.get("columns", "id,x,y,z").split(",")
    rows = _rows(path, ("" if line.startswith("#") else line for line in lines))
    return _to_lps(_numbers(path, rows, _columns(path, header, ("x", "y", "z"))), system)


def _read_markups(path: PathInput) -> Tensor:
    try:
        (markup,) = parse_json("\n".join(_lines(path)))["markups"]
        points = [p["position"] for p in markup["controlPoints"] if p.get("positionStatus", "defined") == "defined"]
        system, unit = markup.get("coordinateSystem", "LPS"), markup.get("coordinateUnits", "mm")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise unsuitable(path, "one list of points as Slicer writes it", "other content") from None
    if not isinstance(system, str) or system not in TO_LPS or unit != "mm":
        raise unsuitable(path, "points in LPS or RAS and mm", f"{system} and {unit}")
    return _to_lps(_positions(path, points), system)


def _positions(path: PathInput, points: Sequence[Any]) -> Tensor:
    for number, point in enumerate(points, 1):
        fine = isinstance(point, list) and len(point) == 3 and all(type(v) in (int, float) for v in point)
        if not fine or not all(abs(value) <= FAR_MM for value in point):
            raise unsuitable(path, f"three numbers in mm as position of point {number}", str(point)[:80])
    if not points:
        raise unsuitable(path, "points", "none that is defined")
    return torch.tensor(points, dtype=torch.float64)


def _to_lps(points_mm: Tensor, system: str) -> Tensor:
    return points_mm * points_mm.new_tensor(TO_LPS[system])


def _table(header: Sequence[str], rows: Iterable[Sequence[float]]) -> str:
    lines = [",".join(f"{value:.6f}" for value in row) for row in rows]
    return "\n".join([",".join(header), *lines, ""])


def _csv_text(points: Sequence[Sequence[float]]) -> str:
    return _table(("x", "y", "z"), points)


def _fcsv_text(points: Sequence[Sequence[float]]) -> str:
    head = ["# Markups fiducial file version = 4.13", "# CoordinateSystem = LPS"]
    columns = "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"
    lines = [
        f"{number},{','.join(f'{value:.6f}' for value in point)},0,0,0,1,1,1,0,F-{number},,"
        for number, point in enumerate(points, 1)
    ]
    return "\n".join([*head, columns, *lines, ""])


def _markups_text(points: Sequence[Sequence[float]]) -> str:
    controls = [
        {
            "id": str(number),
            "label": f"F-{number}",
            "position": [round(value, 6) for value in point],
            "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],
            "selected": True,
            "locked": False,
            "visibility": True,
            "positionStatus": "defined",
        }
        for number, point in enumerate(points, 1)
    ]
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": controls}
    return json.dumps({"@schema": SCHEMA, "markups": [markup]}, indent=1) + "\n"
