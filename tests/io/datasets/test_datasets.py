"""Data sets, written here in the formats of their authors: tiny, with points worked out by hand."""

import json
import pickle
import re

import numpy as np
import pytest
import torch
from support.problems import present

from graphreg.core.grid import Grid, sample
from graphreg.core.records import Landmarks
from graphreg.io import InputError, write_volume
from graphreg.io.datasets import problems_of, read_dataset
from graphreg.io.datasets.causes import likely_cause
from graphreg.io.datasets.dirlab import COPD, FOUR_D, Scan, published_scan

SCAN = Scan((4, 3, 5), (0.5, 0.75, 2.5), 3.25)
RAW = (np.arange(60, dtype="<i2") + 1000).reshape(5, 3, 4)  # (z, y, x), z downwards
# index x points along (0.6, 0.8, 0), index y along (-0.8, 0.6, 0)
OBLIQUE = Grid((5, 6, 7), (2.0, 3.0, 4.0), (10.0, 20.0, 30.0), ((0.6, -0.8, 0.0), (0.8, 0.6, 0.0), (0.0, 0.0, 1.0)))
STRAIGHT = Grid((6, 5, 8), (2.0, 3.0, 4.0), (-1.0, -2.0, -3.0))
FIXED_POINTS, MOVING_POINTS = "1\t1\t1\n1\t1\t5\n", "1\t1\t3\n4\t1\t5\n"


@pytest.fixture
def copd(tmp_path, monkeypatch):
    """A folder with the first case of COPDgene, names in mixed letters as in the archives."""
    monkeypatch.setitem(COPD, 1, SCAN)
    folder = tmp_path / "copd" / "copd1"
    folder.mkdir(parents=True)
    for phase, points in (("i", FIXED_POINTS), ("e", MOVING_POINTS)):
        RAW.tofile(folder / f"copd1_{phase}BHCT.img")
        (folder / f"copd1_300_{phase}BH_xyz_r1.txt").write_text(points)
    return folder.parent


@pytest.fixture
def four_d(tmp_path, monkeypatch):
    """A folder with case 8 of 4DCT."""
    monkeypatch.setitem(FOUR_D, 8, SCAN)
    for part in ("Images", "extremePhases", "Sampled4D"):
        (tmp_path / "Case8Deploy" / part).mkdir(parents=True)
    for phase, points in (("00", FIXED_POINTS), ("50", MOVING_POINTS)):
        RAW.tofile(tmp_path / "Case8Deploy" / "Images" / f"case8_T{phase}.img")
        (tmp_path / "Case8Deploy" / "extremePhases" / f"case8_dirLab300_T{phase}_xyz.txt").write_text(points)
        (tmp_path / "Case8Deploy" / "Sampled4D" / f"case8_4D-75_T{phase}.txt").write_text("2 2 2\n")
    RAW.tofile(tmp_path / "Case8Deploy" / "Images" / "case8_T10.img")  # another phase, of no use here
    return tmp_path


def image(path, grid):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume((grid, torch.arange(grid.voxels, dtype=torch.float32).reshape(grid.shape)), path)


def mask(path, grid):
    path.parent.mkdir(parents=True, exist_ok=True)
    inside = torch.ones(grid.shape, dtype=torch.bool)
    inside[0, 0, 0] = False
    write_volume((grid, inside), path)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.fixture
def lungct(tmp_path):
    """A folder of Learn2Reg with one pair and its list."""
    folder = tmp_path / "LungCT"
    for number, grid, points in (("0000", OBLIQUE, "1,2,3\n0,0,0\n"), ("0001", STRAIGHT, "2.5,1,0\n1,1,1\n")):
        image(folder / "imagesTr" / f"LungCT_0001_{number}.nii.gz", grid)
        mask(folder / "masksTr" / f"LungCT_0001_{number}.nii.gz", grid)
        text(folder / "landmarksTr" / f"LungCT_0001_{number}.csv", points)
        text(folder / "keypointsTr" / f"LungCT_0001_{number}.csv", "1,1,1\n")
    pair = {key: f"./imagesTr/LungCT_0001_000{n}.nii.gz" for n, key in enumerate(("fixed", "moving"))}
    kept_back = {"fixed": "./imagesTs/LungCT_0021_0000.nii.gz", "moving": "./imagesTs/LungCT_0021_0001.nii.gz"}
    content = {
        "name": "LungCT",
        "tensorImageShape": [192, 192, 208],
        "training": [{"image": pair["fixed"]}],
        "training_paired_images": [pair],
        "registration_val": [pair],
        "registration_test": [kept_back],
    }
    text(folder / "LungCT_dataset.json", json.dumps(content))
    return folder


@pytest.fixture
def lung250m(tmp_path):
    """A folder of Lung250M-4B with a test case."""
    image(tmp_path / "imagesTs" / "case_104_1.nii.gz", OBLIQUE)
    image(tmp_path / "imagesTs" / "case_104_2.nii.gz", STRAIGHT)
    text(tmp_path / "corrfieldTs" / "case_104.csv", "1.000,2.000,3.000,2.500,1.000,0.000\n")
    torch.save({"104": torch.tensor([[1.0, 2, 3, 2.5, 1, 0]]), "2": torch.ones(4, 6)}, tmp_path / "lms_validation.pth")
    return tmp_path


@pytest.fixture
def table(tmp_path):
    """A folder with files that a manifest may name."""
    for name, grid in (("a", OBLIQUE), ("b", STRAIGHT)):
        image(tmp_path / f"{name}.nii.gz", grid)
        mask(tmp_path / f"{name}_mask.nii.gz", grid)
    text(tmp_path / "pairs.csv", "fixed_x,fixed_y,fixed_z,moving_x,moving_y,moving_z\n10,20,30,0,0,0\n")
    text(tmp_path / "one.csv", "x,y,z\n10,20,30\n")
    text(tmp_path / "two.csv", "x,y,z\n0,0,0\n1,1,1\n")
    return tmp_path


def near(points_mm, expected):
    return torch.allclose(points_mm, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-4)


def refusal(path):
    with pytest.raises(InputError) as error:
        read_dataset(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_first_voxel_of_dirlab_is_right_anterior_superior(copd):
    (case,) = read_dataset(copd).cases
    landmarks = case.landmarks()["landmarks"]
    assert landmarks.fixed_mm.tolist() == [[0, 0, 10], [0, 0, 0]]  # four slices of 2.5 mm above the lowest, the last
    assert landmarks.moving_mm.tolist() == [[0, 0, 5], [1.5, 0, 0]]
    fixed = case.read().fixed
    values = sample(fixed.data[None], fixed.grid, landmarks.fixed_mm.float())[0]
    assert values.tolist() == [RAW[0, 0, 0] - 1024, RAW[4, 0, 0] - 1024]
    assert fixed.grid.is_upright and fixed.grid.spacing_mm == (0.5, 0.75, 2.5)


def test_a_dirlab_case_says_what_is_published_and_which_scan_is_breathed_in(copd):
    dataset = read_dataset(copd)
    (case,) = dataset.cases
    assert (dataset.name, case.name) == ("DIR-Lab COPDgene", "copd1")
    assert case.fixed_is_inhale and case.inputs["fixed"].name == "copd1_iBHCT.img"
    landmarks = case.landmarks()["landmarks"]
    identity = (landmarks.moving_mm - landmarks.fixed_mm).norm(dim=1).mean().item()
    assert identity == case.published_identity_mm == 3.25  # 5 mm along z, 1.5 mm along x
    assert not problems_of(dataset)


def test_4dct_has_two_sets_of_points_and_starts_at_inhale(four_d):
    (case,) = read_dataset(four_d).cases
    assert case.name == "4dct8" and case.inputs["fixed"].name == "case8_T00.img"
    assert list(case.landmarks()) == ["landmarks", "landmarks_75"]
    assert case.landmarks()["landmarks_75"].fixed_mm.tolist() == [[0.5, 0.75, 7.5]]
    assert case.read().moving.data[4, 0, 0] == -24


@pytest.mark.parametrize("name", ["case1_T{}_s.img", "CASE1_t{}-ssm.IMG", "case1_T{}.img"])
def test_every_name_of_a_4dct_image_is_known(tmp_path, monkeypatch, name):
    monkeypatch.setitem(FOUR_D, 1, SCAN)
    for phase in ("00", "50"):
        RAW.tofile(tmp_path / name.format(phase))
    (case,) = read_dataset(tmp_path).cases
    assert case.landmarks() == {} and case.published_identity_mm is None
    assert case.read().fixed.data.shape == (5, 3, 4)


def test_empty_end_slices_are_left_out_and_no_point_moves(copd):
    raw = RAW.copy()
    raw[3:], raw[0, 0, 0] = -2000, -2000  # the two lowest slices, and a voxel that the scanner did not see
    raw.tofile(copd / "copd1" / "copd1_iBHCT.img")
    (case,) = read_dataset(copd).cases
    fixed = case.read().fixed
    assert fixed.grid.shape == (3, 3, 4) and fixed.grid.origin_mm == (0.0, 0.0, 5.0)
    assert fixed.data.min() == fixed.data[2, 0, 0] == -1024 and fixed.data[0, 0, 1] == RAW[2, 0, 1] - 1024
    assert case.landmarks()["landmarks"].fixed_mm[0].tolist() == [0, 0, 10]


def test_a_damaged_raw_file_is_refused_with_its_size_and_one_without_contrast_too(copd):
    path = copd / "copd1" / "copd1_eBHCT.img"
    path.write_bytes(path.read_bytes()[:-2])
    dataset = read_dataset(copd)
    line = f"{path}: 120 bytes (4 x 3 x 5 voxels of two bytes) needed, 118 bytes found"
    assert problems_of(dataset) == [f"copd1: {line}"]
    with pytest.raises(InputError, match=re.escape(line)):
        dataset.cases[0].read()
    np.zeros_like(RAW).tofile(copd / "copd1" / "copd1_iBHCT.img")
    with pytest.raises(InputError, match="an image with contrast needed, slices of one value each found"):
        read_dataset(copd).cases[0].read()


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("1 1 1\n1 1\n", "3 numbers in line 2 needed, '1 1' found"),
        ("x y z\n", "3 numbers in line 1 needed, 'x y z' found"),
        ("1 1 nan\n", "3 numbers in line 1"),
        ("\n", "points needed, an empty file found"),
        ("1 1 1\n", "2 points as in"),
        ("0 1 1\n1 1 6\n", "2 of 2 moving points (landmarks) lie outside the moving image"),
        ("\xff", "a text file needed, bytes that are not text found"),
    ],
)
def test_wrong_points_of_dirlab_are_problems(copd, points, message):
    (copd / "copd1" / "copd1_300_eBH_xyz_r1.txt").write_bytes(points.encode("latin-1"))
    (problem,) = problems_of(read_dataset(copd))
    assert message in problem and problem.startswith("copd1: ")


def test_lacking_and_double_files_of_dirlab_are_told_at_once(copd):
    (copd / "copd1" / "copd1_eBHCT.img").unlink()
    (copd / "copd1" / "copd1_300_iBH_xyz_r1.txt").unlink()
    (copd / "copy").mkdir()
    RAW.tofile(copd / "copy" / "COPD1_iBHCT.img")
    assert refusal(copd) == "; ".join(
        f"{copd}: copd1: {line}"
        for line in (
            "a file for fixed_landmarks needed, nothing found",
            "a file for moving needed, nothing found",
            "one file for fixed needed, 2 found",
        )
    )


def test_the_tables_hold_what_is_published_of_scans_found_by_name():
    assert COPD[9] == Scan((512, 512, 116), (0.664, 0.664, 2.5), 14.86)
    assert FOUR_D[6] == Scan((512, 512, 128), (0.97, 0.97, 2.5), 10.89)
    for scans, mean in ((FOUR_D, 8.46), (COPD, 23.36)):  # the means that papers give
        assert sorted(scans) == list(range(1, 11))
        assert sum(scan.identity_mm for scan in scans.values()) / 10 == pytest.approx(mean, abs=0.006)
    assert published_scan("copd9") is published_scan("DIR-Lab_COPD_09") is COPD[9]
    assert published_scan("4DCT_case10") is published_scan("4dct10") is FOUR_D[10]
    assert published_scan("case1") is published_scan("copd11") is published_scan("copd9_cropped") is None


@pytest.mark.parametrize("by", ["folder", "list", "names"])
def test_voxels_of_learn2reg_go_through_the_header_of_their_image(lungct, by):
    if by == "names":
        (lungct / "LungCT_dataset.json").unlink()
    dataset = read_dataset(lungct / "LungCT_dataset.json" if by == "list" else lungct)
    (case,) = dataset.cases  # the pair is in two lists, that of the test is not there
    assert (dataset.name, case.name, case.fixed_is_inhale) == ("Learn2Reg LungCT", "LungCT_0001", None)
    assert list(case.landmarks()) == ["landmarks", "keypoints"]
    landmarks = case.landmarks()["landmarks"]
    # 10 + 1 * 2 * 0.6 - 2 * 3 * 0.8, 20 + 1 * 2 * 0.8 + 2 * 3 * 0.6, 30 + 3 * 4
    assert near(landmarks.fixed_mm, [[6.4, 25.2, 42.0], [10.0, 20.0, 30.0]])
    assert near(landmarks.moving_mm, [[4.0, 1.0, -3.0], [1.0, 1.0, 1.0]])
    pair = case.read()
    assert (
        pair.fixed.grid.shape == (5, 6, 7)
        and (~present(pair.fixed_mask)).sum() == 1
        and present(pair.moving_mask).shape == (6, 5, 8)
    )
    assert not problems_of(dataset)


def test_two_lists_in_one_folder_a_half_pair_and_half_points_of_learn2reg_are_told(lungct):
    (lungct / "imagesTr" / "LungCT_0001_0001.nii.gz").unlink()
    (lungct / "landmarksTr" / "LungCT_0001_0000.csv").unlink()
    message = refusal(lungct)
    assert "LungCT_0001_0001.nii.gz: an image needed, nothing found; " in message
    assert "LungCT_0001_0000.csv: a file as for the other image needed, nothing found" in message
    (lungct / "NLST_dataset.json").write_text("{}")
    assert refusal(lungct).endswith("one *_dataset.json needed, 2 found")


@pytest.mark.parametrize("content", ["no json", "[1]", '{"a": [{"fixed": 1, "moving": 2}]}', '{"a": [{"fixed": "b"}]}'])
def test_a_list_of_learn2reg_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "NLST_dataset.json").write_text(content)
    assert refusal(tmp_path).endswith("lists of pairs as Learn2Reg writes them needed, other content found")


def test_points_of_lung250m_are_six_columns_of_voxels(lung250m):
    dataset = read_dataset(lung250m)
    (case,) = dataset.cases
    assert (dataset.name, case.name, case.fixed_is_inhale) == ("Lung250M-4B", "case_104", True)
    sets = case.landmarks()
    assert list(sets) == ["landmarks", "keypoints"]
    for landmarks in sets.values():
        assert near(landmarks.fixed_mm, [[6.4, 25.2, 42.0]]) and near(landmarks.moving_mm, [[4.0, 1.0, -3.0]])
    assert not problems_of(dataset)


def test_lung250m_goes_without_points_and_masks_but_not_with_half_a_pair(lung250m):
    (lung250m / "lms_validation.pth").unlink()
    (lung250m / "corrfieldTs" / "case_104.csv").unlink()
    (case,) = read_dataset(lung250m).cases
    assert case.landmarks() == {} and case.read().fixed_mask is None
    (lung250m / "imagesTs" / "case_104_1.nii.gz").unlink()
    mask(lung250m / "masksTs" / "case_104_1.nii.gz", OBLIQUE)
    message = refusal(lung250m)
    assert "case_104_1.nii.gz: an image needed, nothing found; " in message
    assert message.endswith("case_104_2.nii.gz: a mask as for the other image needed, nothing found")


class Bomb:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Bomb(), "a table of tensors by the number of the case needed, other content found"),
        ([1], "other content found"),
        ({"104": 5}, "other content found"),
        ({"first": torch.ones(1, 6)}, "other content found"),
        ({"104": torch.ones(1, 3)}, "voxels (N, 6) for case 104 needed, (1, 3) or NaN found"),
        ({"104": torch.full((1, 6), torch.nan)}, "voxels (N, 6) for case 104"),
    ],
)
def test_a_pth_file_is_read_as_tensors_or_not_at_all(lung250m, capsys, content, message):
    torch.save(content, lung250m / "lms_validation.pth")
    assert message in refusal(lung250m)
    assert capsys.readouterr().out == ""


def test_a_pth_file_that_is_none_is_refused(lung250m):
    (lung250m / "lms_validation.pth").write_bytes(b"none")
    assert refusal(lung250m).endswith("other content found")


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_manifest_names_pairs_by_paths_beside_it(table, suffix):
    masks = {"fixed_mask": "a_mask.nii.gz", "moving_mask": "b_mask.nii.gz"}
    first = {"case": "first", "fixed": "a.nii.gz", "moving": "b.nii.gz", **masks, "landmarks": "pairs.csv"}
    lists = {"fixed_landmarks": "one.csv", "moving_landmarks": str(table / "one.csv")}
    second = {"case": "second", "fixed": "a.nii.gz", "moving": "b.nii.gz", **lists}
    path = table / f"manifest.{suffix}"
    if suffix == "json":
        path.write_text(json.dumps([first, second]))
    else:
        columns = [*first, *lists]
        rows = [columns, *([row.get(column, "") for column in columns] for row in (first, second))]
        path.write_text("\ufeff" + "\n".join(" , ".join(row) for row in rows), encoding="utf-8")
    dataset = read_dataset(path)
    assert read_dataset(table) == dataset
    one, two = dataset.cases
    assert (one.name, two.name, one.fixed_is_inhale, one.published_identity_mm) == ("first", "second", None, None)
    assert one.landmarks()["landmarks"].moving_mm.tolist() == [[0, 0, 0]]
    assert two.landmarks()["landmarks"].moving_mm.tolist() == [[10, 20, 30]]
    assert (~present(one.read().moving_mask)).sum() == 1 and two.read().moving_mask is None


def test_every_fault_of_a_manifest_is_told_at_once(table):
    path = table / "study.csv"
    path.write_text(
        "case,fixed,moving,fixed_landmarks,moving_landmarks,landmarks,weight\n"
        "a,a.nii.gz,b.nii.gz,one.csv,two.csv,,1\n"
        "a,none.nii.gz,,,,,\n"
        "b/c,a.nii.gz,b.nii.gz,one.csv,,pairs.csv,\n"
        "d,a.nii.gz,b.nii.gz,,,,,,\n"
    )
    columns = "case, fixed, moving, fixed_mask, moving_mask, landmarks, fixed_landmarks, moving_landmarks"
    assert refusal(path) == f"{path}: " + "; ".join(
        [
            f"columns among {columns} needed, 'weight' found",
            f"line 2: {table / 'two.csv'}: 1 points as in {table / 'one.csv'} needed, 2 found",
            "line 3: another name than that of a case before needed, 'a' found",
            "line 3: moving: a file needed, nothing found",
            f"line 3: fixed: a file needed, no {table / 'none.nii.gz'} found",
            "line 4: case: a name that a folder can have needed, 'b/c' found",
            "line 4: fixed_landmarks and moving_landmarks needed, fixed_landmarks alone found",
            "line 4: either landmarks or fixed_landmarks and moving_landmarks needed, both found",
            "line 5: as many cells as columns needed, more found",
        ]
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", "", "at least one case needed, none found"),
        ("m.csv", "case,fixed,moving\n", "at least one case needed, none found"),
        ("m.csv", "fixed,moving\n,\n", "line 2: case: a name that a folder can have needed, '' found"),
        ("m.json", "{", "a list of cases, each an object with case, fixed and moving needed, other content found"),
        ("m.json", "[3]", "other content found"),
        ("m.json", '[{"case": "a", "fixed": 3, "moving": null}]', "case 1: fixed: a path needed, 3 found; case 1: mov"),
        ("m.txt", "", "a manifest (.csv or .json), or a folder of DIR-Lab 4DCT"),
    ],
)
def test_a_wrong_manifest_is_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    assert message in refusal(tmp_path / name)


def test_points_outside_the_image_and_files_that_went_or_broke_since_are_problems(table):
    (table / "manifest.csv").write_text("case,fixed,moving,landmarks\nq,a.nii.gz,b.nii.gz,pairs.csv\n")
    assert not problems_of(read_dataset(table))
    text(table / "pairs.csv", "fixed_x,fixed_y,fixed_z,moving_x,moving_y,moving_z\n10,20,27,0,0,0\n10,20,29,0,0,99\n")
    assert problems_of(read_dataset(table)) == [
        "q: 1 of 2 fixed points (landmarks) lie outside the fixed image",
        "q: 1 of 2 moving points (landmarks) lie outside the moving image",
    ]
    (table / "manifest.csv").write_text("case,fixed,moving,fixed_mask\nq,a.nii.gz,b.nii.gz,a_mask.nii.gz\n")
    dataset = read_dataset(table)
    (table / "b.nii.gz").write_bytes(b"broken")
    assert "a NIfTI image needed" in problems_of(dataset)[0]
    for name in ("b.nii.gz", "a_mask.nii.gz"):
        (table / name).unlink()
    assert problems_of(dataset) == [
        f"q: {table / name}: a file needed, nothing found" for name in ("b.nii.gz", "a_mask.nii.gz")
    ]


def test_a_folder_of_nothing_or_of_two_data_sets_is_refused(tmp_path, copd, four_d):
    assert refusal(tmp_path / "none").endswith("Lung250M-4B needed, nothing found")
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty").endswith("none of these found")
    assert refusal(tmp_path).endswith("DIR-Lab 4DCT and DIR-Lab COPDgene found")


@pytest.mark.parametrize("folder", ["copd", "lungct", "lung250m"])
def test_cases_travel_to_other_processes(request, folder):
    dataset = read_dataset(request.getfixturevalue(folder))
    assert pickle.loads(pickle.dumps(dataset)) == dataset


SLIPS = {
    "the spacing of the fixed image is 0.644 x 0.644 x 2.5 mm, published 0.664 x 0.664 x 2.5 mm": "spacing",
    "the two images have different origins or axes": "origin",
    "z runs the other way in one of the two lists": "flip",
    "one of the two lists counts voxels from 1, the other from 0": "offset",
    "x and y are exchanged in one of the two lists": "exchange",
    "x and z are exchanged in both lists": "order",
    "none of the usual slips; are these the landmarks of this case, in the same order?": "shuffle",
}


@pytest.mark.parametrize(("words", "slip"), SLIPS.items())
def test_each_slip_is_named(generator, words, slip):
    grid = Grid((40, 60, 60), (0.664, 0.664, 2.5))
    voxels = torch.rand((300, 3), generator=generator, dtype=torch.float64) * torch.tensor([40.0, 50, 30])
    shift = torch.tensor([3.0, 6, 4]) + torch.rand((300, 3), generator=generator, dtype=torch.float64)
    fixed, moving = voxels, voxels + shift  # (x, y, z)
    identity_mm = (shift * torch.tensor([0.664, 0.664, 2.5])).norm(dim=1).mean().item()
    grids = [grid, grid]
    if slip == "spacing":
        grids = [Grid(grid.shape, (0.644, 0.644, 2.5))] * 2
    elif slip == "origin":
        grids = [grid, Grid(grid.shape, grid.spacing_mm, (5.0, 0.0, 0.0))]
    elif slip == "flip":
        moving = torch.cat([moving[:, :2], 39 - moving[:, 2:]], 1)
    elif slip == "offset":
        moving = moving + 1
    elif slip == "exchange":
        moving = moving[:, [1, 0, 2]]
    elif slip == "order":
        fixed, moving = fixed.flip(1), moving.flip(1)
    elif slip == "shuffle":
        moving = moving.flip(0)
    points = [g.to_mm(v.flip(1)) for g, v in zip(grids, (fixed, moving), strict=True)]
    assert likely_cause(Landmarks(*points), grids, Scan((60, 60, 40), grid.spacing_mm, identity_mm)) == words
