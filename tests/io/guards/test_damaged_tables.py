"""Landmarks, settings, transforms, manifests and options that are damaged: one line and exit code 2, nothing left."""

import json
import struct
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.damage import ORIGIN, SIZE, SPACING, flipped, nifti, writes
from support.program import contents, one_line, program, refused

from graphreg.anatomy.lung_ct.ventilation import VentilationConfig
from graphreg.cli import main
from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField
from graphreg.io import write_transform
from graphreg.io.files import exists
from graphreg.phantom import PhantomConfig
from graphreg.presets.lung_ct import INHALE_EXHALE
from graphreg.training.settings import FitConfig

GRID = Grid(SIZE[::-1], SPACING, ORIGIN)
HEADER = "fixed_x,fixed_y,fixed_z,moving_x,moving_y,moving_z\n"
PAIR = "12,-18,33,13,-17,34\n"
NUMBERS = ("x", "", "nan", "inf", "-inf", "1e400", "1e30", "1,5", "0x10", "--1", "1;2")


@pytest.fixture
def place(tmp_path):
    """A folder with a sound image, a sound transform and sound landmarks."""
    write_transform(DenseField(GRID, torch.zeros(3, *GRID.shape)), tmp_path / "still.h5")
    (tmp_path / "ct.nii").write_bytes(nifti())
    (tmp_path / "pairs.csv").write_text(HEADER + PAIR)
    return tmp_path


# landmarks and points


def markups(**changes):
    point = {"position": [1, 2, 3], "positionStatus": "defined"}
    return json.dumps({"markups": [{"type": "Fiducial", "controlPoints": [point], **changes}]})


PAIRS: dict[str, str | bytes] = {
    "empty": "",
    "blank lines": "\n \n",
    "header alone": HEADER,
    "no header": PAIR,
    "semicolons": (HEADER + PAIR).replace(",", ";"),
    "tabs": (HEADER + PAIR).replace(",", "\t"),
    "a column twice": HEADER.replace("moving_x", "fixed_x") + PAIR,
    "a column missing": "fixed_x,fixed_y,fixed_z,moving_x,moving_y\n1,2,3,4,5\n",
    "a list of points": "x,y,z\n1,2,3\n",
    "five numbers": HEADER + "1,2,3,4,5\n",
    "UTF-16": (HEADER + PAIR).encode("utf-16"),
    "bytes": bytes(range(256)),
    "an image": nifti(),
    "a word in line 4": HEADER + "1,2,3,4,5,6\n\n1,2,3,4,five,6\n",
    "a cell without end": HEADER + "1" * 200000,
    "a quote without end": HEADER + '"1,2,3,4,5,6\n',
    "NUL": HEADER + "1,2,3,4,5,6\0\n",
    **{f"a cell '{value}'": HEADER + PAIR + f"1,2,3,4,5,{value}\n" for value in NUMBERS},
}
POINTS: dict[str, str | bytes] = {
    "empty.csv": "",
    "header.csv": "x,y,z\n",
    "other header.csv": "i,j,k\n1,2,3\n",
    "two columns.csv": "1,2\n",
    "ragged.csv": "1,2,3\n4,5\n",
    "twice.csv": "x,x,y,z\n1,1,2,3\n",
    "pairs.csv ": HEADER + PAIR,
    "infinite.csv": "x,y,z\n1,2,inf\n",
    "utf16.csv": "x,y,z\n1,2,3\n".encode("utf-16"),
    "bytes.fcsv": bytes(range(256)),
    "no system.fcsv": "1,2,3,4\n",
    "other system.fcsv": "# CoordinateSystem = 2\n1,2,3,4\n",
    "no columns.fcsv": "# CoordinateSystem = LPS\n# columns = id,a,b\n1,2,3\n",
    "short.fcsv": "# CoordinateSystem = LPS\n1,2,3\n",
    "NaN.fcsv": "# CoordinateSystem = RAS\n1,nan,3,4\n",
    "empty.fcsv": "",
    "no json.mrk.json": "no json",
    "cut.mrk.json": markups()[:-9],
    "deep.mrk.json": "[" * 100000,
    "list.mrk.json": "[1]",
    "none.mrk.json": '{"markups": []}',
    "no points.mrk.json": markups(controlPoints=[]),
    "object.mrk.json": markups(controlPoints={"position": [1, 2, 3]}),
    "system.mrk.json": markups(coordinateSystem="IJK"),
    "system list.mrk.json": markups(coordinateSystem=["LPS"]),
    "unit.mrk.json": markups(coordinateUnits="um"),
    **{
        f"position {n}.mrk.json": markups(controlPoints=[{"position": position}])
        for n, position in enumerate([None, "1 2 3", [1, 2], [1, 2, "3"], [1, 2, None], [1, 2, True], [1, 2, 10**400]])
    },
    "NaN.mrk.json": markups().replace("[1, 2, 3]", "[1, 2, NaN]"),
    "infinite.mrk.json": markups().replace("[1, 2, 3]", "[1, 2, 1e999]"),
    "digits.mrk.json": markups().replace("[1, 2, 3]", f"[1, 2, {'1' * 5000}]"),
    "utf16.mrk.json": markups().encode("utf-16"),
}


TOLD = {  # of some of them more than that something else is needed
    "empty": "an empty file found",
    "header alone": "a header alone found",
    "a list of points": "fixed_x,fixed_y,fixed_z,moving_x,moving_y,moving_z needed, 'x,y,z' found",
    "semicolons": "needed, 'fixed_x;",
    "a column twice": "a header with",
    "five numbers": "6 numbers in mm in line 2 needed, '1,2,3,4,5' found",
    "a word in line 4": "6 numbers in mm in line 4 needed, '1,2,3,4,five,6' found",
    "a cell 'nan'": "in line 3 needed",
    "pairs.csv ": "the header x,y,z or three columns in line 1",
    "ragged.csv": "three columns in line 2 needed, '4,5' found",
    "other header.csv": "3 numbers in mm in line 1 needed, 'i,j,k' found",
    "infinite.csv": "3 numbers in mm in line 2",
    "no system.fcsv": "CoordinateSystem = LPS",
    "other system.fcsv": "or RAS needed, '2' found",
    "short.fcsv": "in line 2",
    **dict.fromkeys(("no json.mrk.json", "none.mrk.json", "list.mrk.json"), "one list of points"),
    "system.mrk.json": "LPS or RAS and mm needed, IJK and mm found",
    "unit.mrk.json": "LPS and um found",
    "position 2.mrk.json": "position of point 1 needed, [1, 2] found",
    "position 3.mrk.json": "position of point 1",
    "no points.mrk.json": "none that is defined found",
}


@pytest.mark.parametrize("case", PAIRS)
def test_damaged_landmarks_are_one_line(here, capfd, case):
    writes("bad.csv", PAIRS[case])(here)
    err = refused(here, ["evaluate", "still.h5", "--landmarks", "bad.csv", "--json", "out"], "bad.csv: ", capfd)
    assert "needed" in err and TOLD.get(case, "") in err and len(err) < 300


@pytest.mark.parametrize("name", POINTS)
def test_damaged_points_are_one_line(here, capfd, name):
    file = f"bad {name.strip()}"
    writes(file, POINTS[name])(here)
    err = refused(here, ["points", "still.h5", file, "-o", "out.csv"], f"{file}: ", capfd)
    assert "needed" in err and len(err) < 300


def test_lists_of_different_length_and_missing_files_are_one_line(here, capfd):
    for name, text in (("one.csv", "1,2,3\n"), ("two.csv", "1,2,3\n4,5,6\n")):
        (here / name).write_text(text)
    lists = ["evaluate", "still.h5", "--fixed-landmarks", "one.csv", "--moving-landmarks"]
    refused(here, [*lists, "two.csv"], "two.csv: 1 points as in one.csv needed, 2 found", capfd)
    refused(here, [*lists, "none.csv"], "none.csv: a file of points needed, nothing found", capfd)
    refused(here, [*lists, "."], ".: a file of points needed, a folder found", capfd)


def test_points_outside_the_image_are_warned_of(here, capfd):
    (here / "far.csv").write_text("x,y,z\n900,0,0\n12,-18,33\n")
    assert main(["points", "still.h5", "far.csv", "-o", "out.csv"]) == 0
    assert capfd.readouterr().err.startswith("warning: 1 of 2 points lie outside the fixed image")


# settings and options

TOML = {
    line: told
    for told, lines in {
        "": ("count = = 3", "[levels", "a = 1\na = 2", "x = nan.", '"" = 1', "é" * 3, "a = " + "[" * 5000),
        "unknown setting": (
            "seed = 1",
            "[levels.wide]\nspace = 3",
            "[anatomy.find]\nx = 1",
            "[refinement.dense]\nlr = 1",
        ),
        "are the tables": ("levels.wide = 3", "levels.none.spacing_mm = 3.0", "refinement.sparse.spacing_mm = 2.0"),
        "of type": (
            "symmetric = 1",
            "field_spacing_mm = '2'",
            "field_spacing_mm = true",
            "levels.wide.sampler.count = 3.5",
            "levels.wide.mean_field.couplings = ['a']",
        ),
        "must be finite": tuple(
            f"{name} = {value}"
            for name in (
                "field_spacing_mm",
                "smallest_jacobian",
                "anatomy.find.gas_hu",
                "levels.wide.features.dilation_mm",
            )
            for value in ("nan", "inf", "-inf")
        ),
        "must hold 2 values": ("prealignment.masks.scale = [1, 2, 3]", "prealignment.masks.scale = []"),
        "at most": (
            "field_spacing_mm = 1e300",
            "levels.wide.sampler.count = 99999999999999999999999",
            "levels.wide.matcher.radius_mm = 1e9",
            "levels.wide.matcher.step_mm = 1e-5",
            "refinement.dense.descent.iterations = 10000000000",
            "refinement.dense.comparison.points = 10000000000",
            "levels.wide.sampler.sigma_mm = 1e6",
            "prealignment.masks.reach_mm = 1e9",
            "anatomy.window.low = -1e9",
        ),
        "must be at least 0.1": (
            "field_spacing_mm = 1e-9",
            "levels.wide.spacing_mm = 1e-3",
            "anatomy.find.spacing_mm = 0.01",
        ),
        "weights must be": (
            "levels.wide.graphregnet.weights = '/etc/passwd'",
            'levels.wide.graphregnet.weights = "\\u0000"',
            "levels.wide.graphregnet.weights = ''",
        ),
        "must": (
            "levels = 3",
            "levels = [1]",
            "refinement = [1]",
            "anatomy = []",
            "regulariser = 3",
            "field_spacing_mm = -1.0",
            "field_spacing_mm = 0.0",
            "regulariser = 'x'",
            "anatomy.window = {low = 200, high = -1000}",
            "levels.wide.sampler.count = -1",
            "levels.wide.mean_field.couplings = []",
            "levels.wide.name = 'coarse'",
            "prealignment.masks.scale = [2, 3]",
            "prealignment.masks.points = 0",
            "levels.wide.matcher.patch = 1000",
            "refinement.dense.features = 'mi'",
        ),
    }.items()
    for line in lines
}
OPTIONS = {
    "seed": ["register", "ct.nii", "ct.nii", "-o", "out", "--seed"],
    "spacing-mm": ["invert", "still.h5", "--reference", "ct.nii", "-o", "out.h5", "--spacing-mm"],
    "smoothing-mm": ["jacobian", "still.h5", "--fixed", "ct.nii", "-o", "out", "--smoothing-mm"],
    "smoothing": ["ventilation", "still.h5", "--fixed", "ct.nii", "--moving", "ct.nii", "-o", "out", "--smoothing-mm"],
}


@pytest.mark.parametrize("text", TOML)
def test_damaged_settings_are_one_line(here, capfd, text):
    (here / "bad.toml").write_text(text, encoding="utf-8")
    err = refused(here, ["register", "ct.nii", "ct.nii", "-o", "out", "--config", "bad.toml"], "bad.toml: ", capfd)
    assert TOML[text] in err


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e9", "9" * 30, "x", ""])
@pytest.mark.parametrize("option", OPTIONS)
def test_options_that_are_no_numbers_of_use_are_one_line(here, capfd, option, value):
    refused(here, [*OPTIONS[option], value], option, capfd)


def configs(config):
    """A dataclass of settings and all that lie in it."""
    yield config
    for field in fields(config):
        value = getattr(config, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            if is_dataclass(part):
                yield from configs(part)


KINDS = {type(config): config for config in configs(INHALE_EXHALE)}
KINDS |= {type(config): config for config in (VentilationConfig(), PhantomConfig(), FitConfig())}
REAL = [
    (kind, field.name)
    for kind, config in KINDS.items()
    for field in fields(kind)
    for first in [getattr(config, field.name)]
    if isinstance(first[0] if isinstance(first, tuple) else first, float)
]


@pytest.mark.parametrize(("kind", "name"), REAL, ids=[f"{kind.__name__}.{name}" for kind, name in REAL])
def test_no_setting_is_nan_or_infinite(kind, name):
    value = getattr(KINDS[kind], name)
    for wrong in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ValueError, match="got|must"):
            replace(KINDS[kind], **{name: (wrong, *value[1:]) if isinstance(value, tuple) else wrong})


def test_the_settings_looked_at_are_all_that_there_are():
    assert len(KINDS) >= 20 and len(REAL) >= 50


# transforms

USES = {
    "warp": ["warp", "bad.h5", "ct.nii", "--reference", "ct.nii", "-o", "out.mha"],
    "points": ["points", "bad.h5", "points.csv", "-o", "out.csv"],
    "evaluate": ["evaluate", "bad.h5", "--landmarks", "pairs.csv", "--json", "out.json"],
    "invert": ["invert", "bad.h5", "--reference", "ct.nii", "-o", "out.h5"],
    "jacobian": ["jacobian", "bad.h5", "--fixed", "ct.nii", "-o", "out"],
    "ventilation": ["ventilation", "bad.h5", "--fixed", "ct.nii", "--moving", "ct.nii", "-o", "out"],
    "export": ["export", "bad.h5", "-o", "out.mha", "--as", "itk"],
}


def itk(make):
    """A file with a transform that SimpleITK writes."""
    return lambda folder: sitk.WriteTransform(make(), str(folder / "bad.h5"))


def field_with(value):
    displacement_mm = torch.zeros(3, *GRID.shape)
    displacement_mm[1, 2, 3, 4] = value
    return lambda folder: write_transform(DenseField(GRID, displacement_mm), folder / "bad.h5")


def field_of(components, size, spacing=1.0):
    image = sitk.Image(size, sitk.sitkVectorFloat64, components)
    image.SetSpacing([spacing] * len(size))
    return sitk.DisplacementFieldTransform(image)


def changed(at):
    """The sound transform with a byte changed."""
    return lambda folder: (folder / "bad.h5").write_bytes(flipped((folder / "still.h5").read_bytes(), at))


def shortened(size):
    return lambda folder: (folder / "bad.h5").write_bytes((folder / "still.h5").read_bytes()[:size])


def that_says_to_be_of(*sizes):
    """The sound transform, whose header asks for another number of voxels than the file holds."""

    def make(folder):
        own, other = (struct.pack("<3d", *map(float, reversed(shape))) for shape in (GRID.shape, sizes))
        content = (folder / "still.h5").read_bytes()
        assert content.count(own) == 1
        (folder / "bad.h5").write_bytes(content.replace(own, other))

    return make


ENDS = {  # the end of the line about some of them
    "nothing": "nothing found",
    "a folder": "a folder found",
    "text": "cannot be read: no HDF5 file as ITK writes it found",
    "a translation": "3-D TranslationTransform found",
    "a field of a plane": "2-D DisplacementFieldTransform found",
    "a vector of nan": "NaN or infinite displacements found",
    "exavoxels": "1.5e+06 x 2e+06 x 3e+06 mm found",
    "voxels beyond all numbers": "1.5 x 8 x 1.38351e+19 mm found",
    "fewer than no voxels": "of at least 1, got (-6, 7, 9)",
    "NaN voxels": "of at least 1, got (6, 7, 0)",
    "no voxels": "of at least 1, got (0, 0, 0)",
}
TRANSFORMS = {
    "exavoxels": that_says_to_be_of(1e6, 1e6, 1e6),
    "voxels beyond all numbers": that_says_to_be_of(2.0**62, 4, 1),
    "fewer than no voxels": that_says_to_be_of(-6, 7, 9),
    "NaN voxels": that_says_to_be_of(6, 7, np.nan),
    "no voxels": that_says_to_be_of(0, 0, 0),
    "nothing": lambda folder: None,
    "a folder": lambda folder: (folder / "bad.h5").mkdir(),
    "empty": writes("bad.h5", b""),
    "text": writes("bad.h5", "#Insight Transform File V1.0\n"),
    "an image": writes("bad.h5", nifti()),
    "HDF5 and no more": writes("bad.h5", b"\x89HDF\r\n\x1a\n" + bytes(40)),
    "a translation": itk(lambda: sitk.TranslationTransform(3, (1.0, 2.0, 3.0))),
    "an affine": itk(lambda: sitk.AffineTransform(3)),
    "a field of a plane": itk(lambda: field_of(2, [4, 4])),
    "several": itk(lambda: sitk.CompositeTransform([sitk.AffineTransform(3), sitk.AffineTransform(3)])),
    "a field of kilometres": itk(lambda: field_of(3, [4, 4, 4], 1e6)),
    "a field of nanometres": itk(lambda: field_of(3, [4, 4, 4], 1e-6)),
    **{f"a vector of {value}": field_with(value) for value in (np.nan, np.inf, -np.inf)},
    "more bytes": lambda folder: (folder / "bad.h5").write_bytes((folder / "still.h5").read_bytes() + b"more"),
    **{f"cut to {size} bytes": shortened(size) for size in (7, 8, 47, 48, 100, 500, 1500, 2100, 6000, 9000, -1)},
    # of the superblock, headers of groups and data, and of the heap of texts, at which the library hung or crashed
    **{f"byte {at}": changed(at) for at in (0, 8, 9, 12, 28, 36, 44, 50, 60, 1340, 1400)},
    **{f"byte {at}": changed(at) for at in (1515, 1600, 1800, 2010, 2163, 2184, 2191, 2226, 2240)},
}


@pytest.mark.parametrize("case", TRANSFORMS)
def test_a_damaged_transform_is_one_line(here, capfd, case):
    TRANSFORMS[case](here)
    assert refused(here, USES["warp"], "bad.h5: ", capfd).endswith(ENDS.get(case, "") + "\n")


@pytest.mark.parametrize("verb", USES)
@pytest.mark.parametrize("case", ["nothing", "text", "a translation", "cut to 2100 bytes", "byte 2184"])
def test_every_verb_refuses_a_damaged_transform(here, capfd, verb, case):
    (here / "points.csv").write_text("1,2,3\n")
    TRANSFORMS[case](here)
    refused(here, USES[verb], "bad.h5: a displacement field transform", capfd)


def test_a_transform_at_which_the_library_hung_is_refused_by_a_process_of_its_own(here):
    changed(2184)(here)
    one_line(program(*USES["points"][:2], "pairs.csv", "-o", "out.csv", cwd=here), "graphreg: bad.h5: ")


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1, max_size=4))
def test_whatever_bytes_are_changed_a_transform_is_read_or_refused(here, capfd, changes):
    content = bytearray((here / "still.h5").read_bytes())
    for at, mask in changes:
        content[at % len(content)] ^= mask
    (here / "bad.h5").write_bytes(content)
    code = main([*USES["evaluate"][:4]])
    err = capfd.readouterr().err
    assert code in (0, 2)
    if code == 2:
        assert err.startswith("graphreg: bad.h5: ") and err.count("\n") == 1


# tables of cases

ROW = "a,ct.nii,ct.nii"
MANIFESTS: dict[str, tuple[str | bytes, str]] = {
    "an empty table": ("", "at least one case"),
    "a header alone": ("case,fixed,moving\n", "at least one case"),
    "no table": (bytes(range(256)), "a file that cannot be read"),
    "UTF-16": (f"case,fixed,moving\n{ROW}\n".encode("utf-16"), "a file that cannot be read"),
    "no column": (f"{ROW}\n", "needed"),
    "an unknown column": (f"case,fixed,moving,lobes\n{ROW},x\n", "columns among"),
    "no moving image": ("case,fixed,moving\na,ct.nii,\n", "line 2: moving: a file needed"),
    "a missing file": ("case,fixed,moving\na,ct.nii,none.nii\n", "none.nii found"),
    "a case twice": (f"case,fixed,moving\n{ROW}\n{ROW}\n", "another name"),
    "more cells": (f"case,fixed,moving\n{ROW},x,y\n", "as many cells as columns"),
    "one list alone": (f"case,fixed,moving,fixed_landmarks\n{ROW},points.csv\n", "fixed_landmarks alone"),
    "both kinds": (
        f"case,fixed,moving,landmarks,fixed_landmarks,moving_landmarks\n{ROW},pairs.csv,points.csv,points.csv\n",
        "both found",
    ),
    "counts that differ": (
        f"case,fixed,moving,fixed_landmarks,moving_landmarks\n{ROW},points.csv,two.csv\n",
        "two.csv: 1 points as in",
    ),
    "damaged landmarks": (f"case,fixed,moving,landmarks\n{ROW},points.csv\n", "a header with fixed_x"),
    **{
        f"a case called {name}": (f"case,fixed,moving\n{name},ct.nii,ct.nii\n", "a name that a folder can have")
        for name in ("../a", "..", "a/b", "/etc", "a:b", "")
    },
}
JSONS = {
    "no json": "{",
    "deep": "[" * 100000,
    "a number": "3",
    "no cases": "{}",
    "cases that are numbers": '{"cases": [1, 2]}',
    "a path that is a number": '[{"case": "a", "fixed": 3, "moving": "ct.nii"}]',
    "a path with NUL": '[{"case": "a", "fixed": "\\u0000", "moving": "ct.nii"}]',
    "none": "[]",
}


@pytest.mark.parametrize("verb", [["check-data"], ["study", "-o", "out"]])
@pytest.mark.parametrize("case", [*MANIFESTS, *JSONS])
def test_a_damaged_table_of_cases_is_one_line(here, capfd, verb, case):
    (here / "points.csv").write_text("x,y,z\n1,2,3\n")
    (here / "two.csv").write_text("x,y,z\n1,2,3\n1,2,3\n")
    text, told = MANIFESTS[case] if case in MANIFESTS else (JSONS[case], "needed")
    name = "bad.csv" if case in MANIFESTS else "bad.json"
    writes(name, text)(here)
    err = refused(here, [verb[0], name, *verb[1:]], told, capfd)
    assert err.startswith(f"graphreg: {name}: ")


def test_all_faults_of_a_table_are_told_at_once_and_nothing_runs(here, capfd):
    (here / "bad.csv").write_text("case,fixed,moving,x\na,no1.nii,ct.nii,\nb,ct.nii,no2.nii,\na,ct.nii,ct.nii,\n")
    err = refused(here, ["study", "bad.csv", "-o", "out"], "no1.nii", capfd)
    assert "no2.nii" in err and "another name" in err and "columns among" in err


def test_damage_in_the_files_of_a_table_is_told_by_check_data_all_at_once(here, capfd):
    (here / "cut.nii").write_bytes(nifti()[:200])
    (here / "far.csv").write_text(HEADER + "900,0,0,12,-18,33\n")
    rows = ("a,cut.nii,ct.nii,pairs.csv", "b,ct.nii,ct.nii,far.csv", "c,ct.nii,cut.nii,pairs.csv")
    (here / "cases.csv").write_text("\n".join(("case,fixed,moving,landmarks", *rows)))
    before = contents(here)
    assert main(["check-data", "cases.csv"]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "a: cut.nii: " in err and "c: cut.nii: " in err
    assert "b: 1 of 1 fixed points (landmarks) lie outside the fixed image" in err and contents(here) == before


@pytest.mark.parametrize("size", [0, 1, 1000, 2 * 512 * 512 * 121 - 1])
def test_a_raw_file_of_the_wrong_size_is_told(tmp_path, capfd, size):
    for phase in "ie":
        with open(tmp_path / f"copd1_{phase}BHCT.img", "wb") as file:
            file.truncate(2 * 512 * 512 * 121 if phase == "e" else size)
        (tmp_path / f"copd1_300_{phase}BH_xyz_r1.txt").write_text("1 1 1\n")
    assert main(["check-data", str(tmp_path)]) == 2
    assert f"63438848 bytes (512 x 512 x 121 voxels of two bytes) needed, {size} bytes found" in capfd.readouterr().err


# places that cannot be looked at

LONG = "a" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["register", LONG, "ct.nii", "-o", "out"],
        ["register", "ct.nii", "ct.nii", "-o", LONG],
        ["register", "ct.nii", "ct.nii", "-o", "out", "--config", LONG],
        ["warp", LONG, "ct.nii", "--reference", "ct.nii", "-o", "out.mha"],
        ["warp", "still.h5", LONG, "--reference", "ct.nii", "-o", "out.mha"],
        ["points", "still.h5", LONG, "-o", "out.csv"],
        ["points", "still.h5", "pairs.csv", "-o", f"{LONG}.csv"],
        ["evaluate", "still.h5", "--landmarks", LONG],
        ["jacobian", "still.h5", "--fixed", "ct.nii", "-o", LONG],
        ["check-data", LONG],
        ["study", LONG, "-o", "out"],
        ["report", LONG],
    ],
    ids=" ".join,
)
def test_a_path_that_cannot_be_looked_at_is_wrong_input(here, capfd, arguments):
    err = refused(here, arguments, "ile name too long", capfd)
    assert LONG in err


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied", "closed/ct.nii"), OSError(40, "Loop", "l")])
def test_a_closed_folder_is_wrong_input_and_no_failure(here, capfd, monkeypatch, error):
    def closed(*_, **__):
        raise error

    monkeypatch.setattr("pathlib.Path.exists", closed)
    with pytest.raises(InputError, match="a file that can be read needed"):
        exists("closed/ct.nii")
    code, err = main(["register", "ct.nii", "ct.nii", "-o", "out"]), capfd.readouterr().err
    assert code == 2 and err.startswith("graphreg: ") and err.count("\n") == 1


def test_many_ways_are_tried():
    assert sum(len(list(ways)) for ways in (PAIRS, POINTS, TOML, TRANSFORMS, MANIFESTS, JSONS)) >= 200
