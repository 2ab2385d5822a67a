"""check-data on tiny data sets: what it prints and the exit code."""

import numpy as np
import pytest
import torch
import typer

from graphreg.cli.check_data import check_data
from graphreg.cli.console import failure
from graphreg.core.grid import Grid
from graphreg.core.records import Landmarks
from graphreg.io import InputError, write_landmarks, write_volume
from graphreg.io.datasets.dirlab import COPD, Scan

APP = typer.Typer(pretty_exceptions_enable=False)
APP.command()(check_data)


def check(path):
    """Exit code of the verb."""
    try:
        return int(APP([str(path)], standalone_mode=False) or 0)
    except InputError as error:
        return failure(error, debug=False)


@pytest.fixture
def copd(tmp_path, monkeypatch):
    """One case of five slices, its landmarks 5 mm and 1.5 mm apart."""
    monkeypatch.setitem(COPD, 1, Scan((4, 3, 5), (0.5, 0.75, 2.5), 3.25))
    for phase, points in (("i", "1 1 1\n1 1 5\n"), ("e", "1 1 3\n4 1 5\n")):
        np.arange(60, dtype="<i2").tofile(tmp_path / f"copd1_{phase}BHCT.img")
        (tmp_path / f"copd1_300_{phase}BH_xyz_r1.txt").write_text(points)
    return tmp_path


def manifest(folder, name, spacing_mm, count=300):
    """A pair with landmarks that lie ten voxels apart along x."""
    grid = Grid((3, 4, 30), spacing_mm)
    write_volume((grid, torch.arange(360.0).reshape(grid.shape)), folder / "scan.nii.gz")
    voxels = torch.zeros(count, 3, dtype=torch.float64)
    points = [grid.to_mm(voxels + torch.tensor([1.0, 1.0, x])) for x in (5.0, 15.0)]
    write_landmarks(folder / "points.csv", Landmarks(*points))
    (folder / "study.csv").write_text(
        f"case,fixed,moving,landmarks\n{name},scan.nii.gz,scan.nii.gz,points.csv\nbare,scan.nii.gz,scan.nii.gz,\n"
    )
    return folder / "study.csv"


def test_a_sound_data_set_agrees_with_what_is_published(copd, capsys):
    assert check(copd) == 0
    title, header, row = capsys.readouterr().out.splitlines()
    assert title == "DIR-Lab COPDgene: 1 case"
    assert header.split("  ")[0] == "case" and header.endswith("identity TRE  published  difference")
    assert " ".join(row.split()) == "copd1 4 x 3 x 5 0.5 x 0.75 x 2.5 2 landmarks 3.25 3.25 +0.00"


def test_a_difference_is_told_with_its_cause(copd, capsys):
    lower = "1 1 3\n4 1 1\n"  # z of 3 and 5 turned round in five slices
    (copd / "copd1_300_eBH_xyz_r1.txt").write_text(lower)
    assert check(copd) == 1
    *_, row, cause, blind = capsys.readouterr().out.splitlines()
    # 5 mm, and the length of (1.5, 10)
    assert row.split()[-3:] == ["7.56", "3.25", "+4.31"]
    assert cause == "copd1 differs: z runs the other way in one of the two lists"
    assert blind.startswith("not told here: exchanged images")


@pytest.mark.parametrize(("spacing", "code"), [(0.664, 0), (0.644, 1)])
def test_the_known_wrong_spacing_of_copd9_is_found_in_converted_files(tmp_path, monkeypatch, capsys, spacing, code):
    monkeypatch.setitem(COPD, 9, Scan((30, 4, 3), COPD[9].spacing_mm, 6.64))
    assert check(manifest(tmp_path, "copd9", (spacing, spacing, 2.5))) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "study: 2 cases" and lines[3].split()[-4:] == ["none", "-", "-", "-"]
    told = "copd9 differs: the spacing of the fixed image is 0.644 x 0.644 x 2.5 mm, published 0.664 x 0.664 x 2.5 mm"
    assert (told in lines) == bool(code)


@pytest.mark.parametrize(("name", "count"), [("copd9", 299), ("patient9", 300)])
def test_nothing_is_compared_where_nothing_is_published(tmp_path, capsys, name, count):
    assert check(manifest(tmp_path, name, (0.644, 0.644, 2.5), count)) == 0
    row = capsys.readouterr().out.splitlines()[2]
    assert row.split()[-5:] == [str(count), "landmarks", "6.44", "-", "-"]


def test_bad_input_is_told_after_the_table_also_a_damaged_file_and_an_unknown_folder(copd, capsys):
    (copd / "copd1_300_eBH_xyz_r1.txt").write_text("1 1 3\n4 1 6\n")
    assert check(copd) == 2
    said = capsys.readouterr()
    assert said.out.splitlines()[2].startswith("copd1 ")
    assert said.err == "graphreg: copd1: 1 of 2 moving points (landmarks) lie outside the moving image\n"
    (copd / "copd1_iBHCT.img").write_bytes(b"short")
    assert check(copd) == 2
    assert "120 bytes (4 x 3 x 5 voxels of two bytes) needed, 5 bytes found" in capsys.readouterr().err
    assert check(copd / "none") == 2
    assert capsys.readouterr().out == ""
