"""The program as users run it: its environment, settings for coarse scans, what it says and leaves."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import graphreg
from graphreg.cli import main

ROOT = Path(graphreg.__file__).parents[1]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
SUPPORTED = ENVIRONMENT | {"PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parents[1]}"}  # finds these modules, too
PROGRAM = [sys.executable, "-m", "graphreg"]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="forks, or looks into /proc")

RESULT = {"transform.h5", "warped.nii.gz", "keypoints.csv", "registration.json"}  # files of a registration
STUDY = {"study.json", "results.csv", "summary.json", "tables.md", "tables.tex"}  # files of a study beside its cases

_LEVEL = """
[levels.{}]
spacing_mm = 3.0
sampler = {{count = 400}}
features = {{dilation_mm = 3.0, radius_mm = 3.0}}
matcher = {{radius_mm = {}, step_mm = {}}}"""
_LEVELS = {"wide": (36.0, 6.0), "coarse": (9.0, 3.0), "middle": (6.0, 3.0)}
# settings that suit a coarse phantom, and ones that take even less time
FAST = f"""
field_spacing_mm = 5.0{"".join(_LEVEL.format(name, *costs) for name, costs in _LEVELS.items())}
[refinement.dense]
spacing_mm = 4.0
comparison = {{control_mm = 8.0, points = 5000}}
features = {{window_mm = 6.0}}
descent = {{iterations = 10}}
"""
LIGHT = FAST.replace("spacing_mm = 3.0", "spacing_mm = 5.0").replace("count = 400", "count = 200")
SETTINGS = ["--preset", "fast", "--config", "fast.toml"]


def scans_of(folder: Path) -> list[Path]:
    """The fixed and the moving image of a phantom, and their masks."""
    return [folder / "ph" / f"{name}.nii.gz" for name in ("fixed", "moving", "fixed_mask", "moving_mask")]


def program(*arguments: object, cwd: Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a process of its own."""
    command = [*PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder and of those in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The same with the times at which they were written."""
    return {name: ((folder / name).stat().st_mtime_ns, content) for name, content in contents(folder).items()}


def names(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()}


def load(path: Path | str) -> Any:
    """What a JSON file holds, which must not be NaN."""
    return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=pytest.fail)


def rows(path: Path | str) -> list[dict[str, str]]:
    """The rows of a CSV file by the names of its columns."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def only_doubts(err: str) -> bool:
    """Whether a program said nothing but, maybe, that registrations as coarse as those of the tests are bad."""
    signs = ("do not look alike", "have found nothing like them")
    return all(line.startswith("warning: ") and any(sign in line for sign in signs) for line in err.splitlines())


def one_line(said: tuple[int, str, str], told: str) -> str:
    """The one line of a program (exit code, stdout, stderr) that was given something wrong."""
    code, out, err = said
    assert (code, out) == (2, ""), err
    assert err.startswith("graphreg: ") and err.count("\n") == 1 and "Traceback" not in err
    assert told in err
    return err


def refused(folder: Path, arguments: list[str], told: str, capture: pytest.CaptureFixture[str]) -> str:
    """The one line by which the program refuses, with exit code 2 and nothing left behind in the folder."""
    before, places = contents(folder), sorted(folder.rglob("*"))
    capture.readouterr()
    err = one_line((main(arguments), *capture.readouterr()), told)
    assert sorted(folder.rglob("*")) == places and contents(folder) == before
    return err
