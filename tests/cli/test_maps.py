"""The verbs that write maps, on boxes of lung that grow by a tenth along each axis."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from support.problems import scaled
from support.program import load, names, refused, rows

from graphreg.cli import main
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField, Volume
from graphreg.io import read_transform, read_volume, write_transform, write_volume
from graphreg.io.maps import GLYPHS, SIGNS, colour_map, draw_map, limits, write_maps

GRID = Grid((12, 14, 20), (3.0, 3.0, 3.0), (-28.0, -19.0, -17.0))
NAMES = ("jac", "hu", "hu_mass", "sacj", "integrated")
EXHALE_HU, INHALE_HU = -700.0, -1000 + 300 / 1.331
MASKS = ["--fixed-mask", "fixed_mask.nii.gz", "--moving-mask", "moving_mask.nii.gz"]
JACOBIAN = ["jacobian", "t.h5", "-o", "out", "--fixed", "fixed.nii.gz"]
VENTILATION = ["ventilation", "t.h5", "-o", "out", "--fixed", "fixed.nii.gz", "--moving", "moving.nii.gz"]


def lungs():
    """Right (x below the middle) and left: 6 x 8 x 8 and 4 x 8 x 8 voxels of 27 mm3."""
    mask = torch.zeros(GRID.shape, dtype=torch.bool)
    mask[2:10, 3:11, 2:8] = mask[2:10, 3:11, 12:16] = True
    return mask


def write_breath(fixed_is_inhale=False):
    factor = 1 / 1.1 if fixed_is_inhale else 1.1
    hu = (INHALE_HU, EXHALE_HU) if fixed_is_inhale else (EXHALE_HU, INHALE_HU)
    for name, grid, value in zip(("fixed", "moving"), (GRID, scaled(GRID, factor)), hu, strict=True):
        write_volume((grid, torch.where(lungs(), value, 40.0)), f"{name}.nii.gz", as_float=True)
        write_volume((grid, lungs()), f"{name}_mask.nii.gz")
    write_scaling("t.h5", factor)


def write_scaling(path, factor, grid=GRID):
    write_transform(DenseField(grid, (factor - 1) * grid.points_mm(torch.zeros(1)).movedim(-1, 0)), path)


def write_labels():
    """2 is the lower half of the right lung, 5 a row of voxels in the left one."""
    labels = torch.zeros(GRID.shape)
    labels[2:6, 3:11, 2:8], labels[3, 4, 12:16] = 2, 5
    write_volume((GRID, labels), "labels.nii.gz")


@pytest.fixture(autouse=True)
def breath(here):
    """A working directory with a breath, fixed at exhale."""
    write_breath()
    write_labels()


def regions():
    return {row["region"]: row for row in rows("out/regions.csv")}


def volumes(row):
    return [float(row[column]) for column in ("fixed_ml", "moving_ml", "change_percent")]


def test_jacobian_writes_its_maps_and_the_volumes_of_lungs_and_labels(here, capsys):
    assert main([*JACOBIAN, *MASKS, "--labels", "labels.nii.gz"]) == 0
    files = {"jacobian.nii.gz", "log_jacobian.nii.gz", "log_jacobian.png", "regions.csv", "jacobian.json"}
    assert names(here / "out") == files
    for name, value in (("jacobian", 1.331), ("log_jacobian", np.log(1.331))):
        image = sitk.ReadImage(f"out/{name}.nii.gz")
        assert image.GetPixelID() == sitk.sitkFloat32
        assert image.GetSpacing() == pytest.approx((3, 3, 3)) and image.GetOrigin() == pytest.approx(GRID.origin_mm)
        assert np.allclose(sitk.GetArrayFromImage(image), value, atol=1e-4)
    table = regions()
    assert list(table) == ["lungs", "left lung", "right lung", "label 2", "label 5"]
    assert [row["number"] for row in table.values()] == ["", "", "", "2", "5"]
    fixed_ml = {"lungs": 17.28, "left lung": 6.912, "right lung": 10.368, "label 2": 5.184, "label 5": 0.108}
    for name, row in table.items():
        assert volumes(row) == pytest.approx([fixed_ml[name], 1.331 * fixed_ml[name], 33.1], rel=1e-3)
    record = load(here / "out/jacobian.json")
    assert record["folding_percent"] == 0 and record["mean_jacobian"] == pytest.approx(1.331, abs=1e-4)
    assert record["volume_consistency"]["volume_ratio"] == pytest.approx(1.331, abs=1e-4)
    assert record["inputs"]["moving"] is None and len(record["inputs"]["labels"]["sha256"]) == 64
    said = capsys.readouterr().out
    assert "mean Jacobian 1.331, folding 0.000 %, SDlogJ 0.000" in said and "ratio of the lung masks 1.331: " in said


def test_smoothing_evens_the_map_and_leaves_the_volumes(here):
    field = read_transform("t.h5")
    z, y, x = torch.meshgrid(*(torch.arange(n) for n in field.grid.shape), indexing="ij")
    wobble = 0.3 * torch.sin(2.5 * x) + 0.2 * torch.cos(2.0 * y + z)
    write_transform(DenseField(field.grid, field.displacement_mm + wobble), "t.h5")
    found = []
    for options in ([], ["--smoothing-mm", "6"]):
        assert main([*JACOBIAN, *MASKS, *options]) == 0
        found.append((read_volume("out/jacobian.nii.gz").data[lungs()].std(), volumes(regions()["lungs"])))
    assert found[1][0] < 0.5 * found[0][0]
    assert found[1][1] == found[0][1]


def test_folding_is_no_error_where_the_jacobian_alone_is_asked_for_and_masks_not_given_are_not_told_of(here, capsys):
    assert main([*JACOBIAN, *MASKS[:2]]) == 0
    assert "ratio" not in capsys.readouterr().out
    assert "volume_consistency" not in load(here / "out/jacobian.json")
    mirror()
    assert main([*JACOBIAN, *MASKS]) == 0
    assert "folding 100.000 %" in capsys.readouterr().out


@pytest.mark.parametrize("fixed_is_inhale", [True, False])
def test_ventilation_is_positive_where_air_came_in_whichever_image_is_fixed(here, capsys, fixed_is_inhale):
    write_breath(fixed_is_inhale)
    assert main([*VENTILATION, *MASKS, "--labels", "labels.nii.gz"]) == 0
    files = {f"ventilation_{name}{suffix}" for name in NAMES for suffix in (".nii.gz", ".png")}
    assert names(here / "out") == files | {"regions.csv", "ventilation.json"}
    expected = {"jac": 0.331, "integrated": 0.331, "hu": 0.331 / 0.7, "hu_mass": 0.331 / 0.7, "sacj": 0.331 / 0.7}
    for name, value in expected.items():
        data = read_volume(f"out/ventilation_{name}.nii.gz").data
        assert torch.allclose(data, torch.where(lungs(), value, 0.0), atol=1e-3)
        assert float(regions()["label 5"][f"ventilation_{name}_mean"]) == pytest.approx(value, abs=1e-3)
    record = load(here / "out/ventilation.json")
    assert record["fixed_is_inhale"] is fixed_is_inhale and record["configuration"]["smoothing_mm"] == 4
    assert f"fixed image: {'inhale' if fixed_is_inhale else 'exhale'}" in capsys.readouterr().out


def test_a_phase_that_is_right_changes_nothing(here):
    assert main([*VENTILATION, *MASKS]) == 0
    before = (here / "out/ventilation_hu.nii.gz").read_bytes()
    assert main([*VENTILATION, *MASKS, "--phase", "fixed-exhale", "--smoothing-mm", "4"]) == 0
    assert (here / "out/ventilation_hu.nii.gz").read_bytes() == before


def mirror():
    write_scaling("t.h5", -1.1)


def shrinking():
    write_scaling("t.h5", 1 / 1.1)


def elsewhere():
    write_scaling("t.h5", 1.1, Grid(GRID.shape, GRID.spacing_mm, (500.0, 0.0, 0.0)))


def other_units():
    write_volume((GRID, torch.where(lungs(), 300.0, 1040.0)), "fixed.nii.gz")


def same_volume():
    write_volume((scaled(GRID, 1.0), lungs()), "moving_mask.nii.gz")
    write_volume((GRID, torch.where(lungs(), INHALE_HU, 40.0)), "moving.nii.gz")
    write_scaling("t.h5", 1.0)


def empty_mask():
    write_volume((GRID, lungs() & False), "fixed_mask.nii.gz")


def other_grid():
    labels = torch.zeros(GRID.shape)
    labels[0] = 1
    write_volume((scaled(GRID, 1.5), labels), "labels.nii.gz")


def fractions():
    write_volume((GRID, torch.where(lungs(), 0.5, 0.0)), "labels.nii.gz", as_float=True)


def many_labels():
    write_volume((GRID, torch.arange(GRID.voxels).reshape(GRID.shape) % 300), "labels.nii.gz")


def heavy():
    write_volume((scaled(GRID, 1.1), torch.where(lungs(), -450.0, 40.0)), "moving.nii.gz")


def nothing():
    pass


LABELLED = [*MASKS, "--labels", "labels.nii.gz"]


@pytest.mark.parametrize(
    ("spoil", "arguments", "line"),
    [
        (
            mirror,
            [*VENTILATION, *MASKS],
            "t.h5: a motion that does not fold in the lungs needed, found a Jacobian <= 0",
        ),
        (shrinking, [*VENTILATION, *MASKS], "t.h5: a motion from fixed.nii.gz to moving.nii.gz, whose lungs are 1.33"),
        (elsewhere, [*VENTILATION, *MASKS], "t.h5: a field over the lungs of fixed.nii.gz needed, one without 100 %"),
        (elsewhere, [*JACOBIAN, *MASKS], "t.h5: a field over the lungs of fixed.nii.gz needed, one without 100 %"),
        (
            other_units,
            [*VENTILATION, *MASKS],
            "fixed.nii.gz: an image in HU, with a median of -980 to -400 in the lungs",
        ),
        (
            same_volume,
            [*VENTILATION, *MASKS],
            "fixed.nii.gz and moving.nii.gz: lungs of different volume to tell inhale",
        ),
        (heavy, [*VENTILATION, *MASKS], "fixed.nii.gz and moving.nii.gz: less than twice the mass"),
        (empty_mask, [*VENTILATION, *MASKS], "fixed_mask.nii.gz: a mask with voxels that are not zero needed"),
        (empty_mask, [*JACOBIAN, *MASKS], "fixed_mask.nii.gz: a mask with voxels that are not zero needed"),
        (other_grid, [*JACOBIAN, *LABELLED], "labels.nii.gz: a label map on the grid of fixed.nii.gz"),
        (other_grid, [*VENTILATION, *LABELLED], "labels.nii.gz: a label map on the grid of fixed.nii.gz"),
        (fractions, [*JACOBIAN, *LABELLED], "labels.nii.gz: a label map of whole numbers needed, fractions found"),
        (many_labels, [*JACOBIAN, *LABELLED], "labels.nii.gz: a label map of at most 256 labels needed, 300 values"),
        (
            nothing,
            [*VENTILATION, *MASKS, "--phase", "fixed-inhale"],
            "--phase fixed-inhale: smaller lungs in moving.nii",
        ),
        (nothing, [*VENTILATION, *MASKS, "--phase", "inhale"], "Invalid value for '--phase'"),
        (nothing, [*VENTILATION, *MASKS, "--smoothing-mm", "-1"], "Invalid value for '--smoothing-mm'"),
        (nothing, VENTILATION, "fixed.nii.gz: No lung found"),
        (nothing, JACOBIAN, "fixed.nii.gz: No lung found"),
    ],
)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(here, capsys, spoil, arguments, line):
    spoil()
    refused(here, arguments, line, capsys)


def test_a_folder_with_files_of_others_is_left_alone(here, capsys):
    (here / "out").mkdir()
    (here / "out/regions.csv").write_text("mine")
    assert main([*VENTILATION, *MASKS]) == 2
    assert "out: a folder without regions.csv, or with ventilation.json, needed, found one" in capsys.readouterr().err
    assert [path.name for path in (here / "out").iterdir()] == ["regions.csv"]


def test_maps_that_cannot_all_be_written_leave_the_earlier_ones(here, monkeypatch):
    assert main([*JACOBIAN, *MASKS]) == 0
    before = {path: path.read_bytes() for path in (here / "out").iterdir()}
    with pytest.raises(OSError):
        monkeypatch.setattr("graphreg.io.maps.write_pixels", lambda *_: (_ for _ in ()).throw(OSError()))
        picture = {"log_jacobian": torch.zeros(1, 1, 3)}
        write_maps("out", GRID, {"jacobian": torch.zeros(GRID.shape)}, picture, [{"a": 1}], ("jacobian.json", {}))
    assert {path: path.read_bytes() for path in (here / "out").iterdir()} == before


# pictures


def lightness(colours):
    """CIE L* (N,) of sRGB (N, 3)."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def test_colours_grow_evenly_lighter_or_from_both_ends_to_white_and_every_digit_has_its_own_shape():
    sequential, diverging = (lightness(colour_map(kind).numpy()) for kind in (False, True))
    assert sequential.shape == (256,) and (np.diff(sequential) > 0).all()
    assert np.diff(sequential).max() < 3 * np.diff(sequential).mean()
    assert (np.diff(diverging[:128]) > 0).all() and (np.diff(diverging[128:]) < 0).all()
    assert np.abs(diverging - diverging[::-1]).max() < 5
    assert len(set(GLYPHS)) == len(SIGNS) == len(GLYPHS)


def test_limits_leave_out_the_tails_and_diverging_ones_are_as_far_on_both_sides():
    values = torch.linspace(0, 1, 1001)
    values[0] = torch.nan
    assert limits(values, diverging=False) == (0.02, 0.99)
    assert limits(values - 0.9, diverging=True) == (-0.88, 0.88)
    assert limits(torch.zeros(5), diverging=False) == (0.0, 0.01)
    assert limits(torch.full((5,), torch.nan), diverging=True) == (0.0, 0.01)


def test_a_map_colours_the_lungs_alone_beside_its_limits():
    fixed, values = Volume(GRID, torch.full(GRID.shape, -1000.0)), torch.where(lungs(), 0.5, torch.nan)
    pixels = draw_map(fixed, lungs(), values, (0.0, 0.5), diverging=False, window=(-1000.0, 200.0))
    colours = {tuple(round(255 * c) for c in row) for row in pixels[:, :-60].reshape(-1, 3).unique(dim=0).tolist()}
    assert colours == {(0, 0, 0), (190, 173, 28)}  # three quarters of the lightest, over black
    bar = pixels[:, -60:]
    assert torch.allclose(bar[len(bar) // 2, 10], colour_map(False)[127], atol=0.02)
