"""The program as users run it: tiny phantom, real processes where the whole of it matters."""

import gzip
import os
import pty
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from support.dicom import SLICES, dicom
from support.problems import GOOD, LARGER, SMALL, noise
from support.program import (
    ENVIRONMENT,
    FAST,
    PROGRAM,
    RESULT,
    SETTINGS,
    load,
    names,
    one_line,
    only_doubts,
    program,
    rows,
    state,
)

import graphreg
from graphreg.anatomy.windows import FixedWindow
from graphreg.cli import demonstration, main, settings
from graphreg.config import override
from graphreg.core.records import DenseField, Volume
from graphreg.io import images, read_landmarks, read_transform, write_points, write_transform, write_volume
from graphreg.phantom import PhantomConfig, make_phantom
from graphreg.presets import preset
from graphreg.runs import run

PAIR = ["ph/fixed.nii.gz", "ph/moving.nii.gz"]
REGISTER = ["register", *PAIR, *SETTINGS]
MASKS = ["--fixed-mask", "ph/fixed_mask.nii.gz", "--moving-mask", "ph/moving_mask.nii.gz"]


def image(path, array, spacing=(4.0, 4.0, 5.0)):
    made = sitk.GetImageFromArray(array, isVector=False)
    made.SetSpacing(spacing[: array.ndim] + (1.0,) * (array.ndim - len(spacing)))
    sitk.WriteImage(made, str(path))


@pytest.fixture(scope="session")
def said(phantom, tmp_path_factory):
    """A folder with a phantom in ph and its registration in out, and what the program said to that."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(phantom, folder, dirs_exist_ok=True)
    return folder, program(*REGISTER, "-o", "out", cwd=folder)


@pytest.fixture(scope="session")
def place(said):
    return said[0]


@pytest.fixture
def shift(tmp_path):
    """A transform that moves points by 3 mm in x, on the grid SMALL."""
    displacement_mm = torch.zeros(3, *SMALL.shape)
    displacement_mm[0] = 3.0
    write_transform(DenseField(SMALL, displacement_mm), tmp_path / "shift.h5")
    return tmp_path / "shift.h5"


# help


def test_the_program_tells_its_verbs_and_its_version_and_helps_without_arguments(tmp_path, capsys):
    code, out, err = program("--help", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert all(f"\n  {verb} " in out for verb in ("register", "invert", "export", "ventilation", "demo"))
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"graphreg {graphreg.__version__}\n"
    assert main([]) == 0
    assert "Usage: graphreg" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        (
            "register",
            "--fixed-mask --moving-mask --preset --config --regulariser --device --seed --force -q --debug LPS",
        ),
        ("register", "--no-refinement --symmetric inverse_transform.h5"),
        ("invert", "MOVING to FIXED --mask --spacing-mm"),
        ("export", "--as itk ants slicer learn2reg points --side"),
        ("jacobian", "--labels log_jacobian.nii.gz regions.csv"),
        ("ventilation", "--phase --smoothing-mm hu_mass"),
        ("warp", "--reference --labels -1024 FIXED"),
        ("points", "LPS mm FIXED to MOVING"),
        ("evaluate", "--fixed-landmarks --moving-landmarks --landmarks --fixed --moving --fixed-mask --json mm"),
        ("phantom", "--seed --spacing LPS jacobian.nii.gz"),
        ("demo", "--seed comparison.png"),
        (
            "study",
            "MANIFEST|FOLDER --workers --devices --device --dask --resume --case --preset --config --regulariser",
        ),
        ("compare", "STUDY_A STUDY_B Wilcoxon mm"),
        ("train", "OUT/NAME.csv"),
    ],
)
def test_every_verb_explains_itself(verb, told, capsys):
    assert main([verb, "--help"]) == 0
    help_text = " ".join(capsys.readouterr().out.split())
    assert all(word in help_text for word in told.split())


# phantom


def test_phantom_writes_the_pair_and_its_truth(place):
    files = "fixed.nii.gz moving.nii.gz fixed_mask.nii.gz moving_mask.nii.gz landmarks.csv jacobian.nii.gz phantom.json"
    assert names(place / "ph") == set(files.split())
    config = PhantomConfig(fixed_spacing_mm=(4.0, 5.0), moving_spacing_mm=(4.0, 5.0))
    made = make_phantom(1, config)
    pairs = read_landmarks(place / "ph" / "landmarks.csv")
    assert torch.allclose(pairs.moving_mm, made.landmarks.moving_mm, atol=1e-5)
    jacobian = sitk.ReadImage(str(place / "ph" / "jacobian.nii.gz"))
    fixed, moving = (sitk.ReadImage(str(place / "ph" / f"{role}_mask.nii.gz")) for role in ("fixed", "moving"))
    values, inside = sitk.GetArrayFromImage(jacobian), sitk.GetArrayFromImage(fixed) > 0
    assert jacobian.GetPixelID() == sitk.sitkFloat32 and (values[~inside] == 1).all()
    # the mean of the determinant is the change of volume
    assert values[inside].mean() == pytest.approx(sitk.GetArrayFromImage(moving).sum() / inside.sum(), rel=0.02)
    record = load(place / "ph" / "phantom.json")
    assert record["seed"] == 1 and record["configuration"]["fixed_spacing_mm"] == [4.0, 5.0]
    points_mm = made.pair.fixed.grid.points_mm(torch.zeros(0).double())[made.pair.fixed_mask]
    assert record["mean_displacement_mm"] == pytest.approx(
        (made.motion(points_mm) - points_mm).norm(dim=1).mean().item()
    )


def test_phantom_and_demo_do_not_touch_images_of_others(tmp_path, capsys):
    (tmp_path / "moving.nii.gz").write_text("of a patient")
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "registration.json").write_text("{}")
    assert main(["phantom", "-o", str(tmp_path)]) == main(["demo", "-o", str(tmp_path / "demo")]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "moving.nii.gz" in first and "registration.json" in second
    assert (tmp_path / "moving.nii.gz").read_text(encoding="utf-8") == "of a patient"


# register


def test_register_writes_four_files_and_one_line_of_evidence(said):
    place, (code, out, err) = said
    assert code == 0 and only_doubts(err)  # piped, hence no progress
    assert names(place / "out") == RESULT
    assert out.count("\n") == 1 and "folding 0.00 %" in out and "similarity" in out and out.endswith("result in out\n")


def test_the_transform_is_one_of_itk_that_maps_fixed_to_moving(place):
    transform = sitk.ReadTransform(str(place / "out" / "transform.h5"))
    table = [[float(cell) for cell in row.values()] for row in rows(place / "out" / "keypoints.csv")]
    assert len(table) == 400
    for x, y, z, *moved_mm, confidence in table:
        assert transform.TransformPoint((x, y, z)) == pytest.approx(moved_mm, abs=1e-2)
        assert 0 < confidence <= 1
    pairs = read_landmarks(place / "ph" / "landmarks.csv")
    mapped = torch.tensor([transform.TransformPoint(point) for point in pairs.fixed_mm.tolist()])
    assert (pairs.fixed_mm - pairs.moving_mm).norm(dim=1).mean() > 15
    assert (mapped - pairs.moving_mm).norm(dim=1).mean() < 3


def test_the_warped_image_is_what_itk_makes_of_it(place):
    fixed, moving = (sitk.ReadImage(str(place / name), sitk.sitkFloat32) for name in PAIR)
    transform = sitk.ReadTransform(str(place / "out" / "transform.h5"))
    expected = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, -1024.0))
    warped = sitk.ReadImage(str(place / "out" / "warped.nii.gz"))
    assert warped.GetPixelID() == sitk.sitkInt16 and warped.GetSize() == fixed.GetSize()
    apart = np.abs(sitk.GetArrayFromImage(warped) - expected)
    assert (apart > 1).mean() < 1e-3  # but at the border, where ITK knows half a voxel more or less


def test_the_record_tells_settings_inputs_costs_and_quality(place):
    record = load(place / "out" / "registration.json")
    assert record["graphreg"] == graphreg.__version__ and record["preset"] == "fast" and record["seed"] == 0
    assert record["configuration"]["levels"][0]["sampler"]["count"] == 400
    assert record["inputs"]["fixed"]["path"] == PAIR[0] and len(record["inputs"]["moving"]["sha256"]) == 64
    assert record["inputs"]["fixed_mask"] is None and record["device"] in ("cpu", "cuda")
    assert sum(stage["seconds"] for stage in record["stages"].values()) <= record["seconds"]
    assert record["stages"]["cost volume"]["peak_mib"] > 10
    assert record["quality"]["similarity_after"] > record["quality"]["similarity_before"]
    assert record["quality"]["ncc_after"] > record["quality"]["ncc_before"]
    assert record["refinement"]["dense"][-1] < record["refinement"]["dense"][0]
    assert str(place) not in (place / "out" / "registration.json").read_text(encoding="utf-8")


def test_a_finished_result_is_left_alone(here, capsys):
    before = state(here / "out")
    shutil.copy("ph/fixed.nii.gz", "same.nii.gz")
    assert main([*REGISTER, "-o", "out"]) == main(["register", "same.nii.gz", *REGISTER[2:], "-o", "out"]) == 0
    assert capsys.readouterr().out.count("nothing to do: out already holds the result") == 2
    assert state(here / "out") == before


@pytest.mark.parametrize("other", [["--seed", "1"], ["--regulariser", "none"], ["--preset", "inhale-exhale"], MASKS])
def test_the_result_of_other_settings_or_inputs_needs_force(here, capsys, other):
    before = state(here / "out")
    assert main([*REGISTER, *other, "-o", "out"]) == 2
    assert capsys.readouterr().err == (
        "graphreg: out: holds registration.json of other images or settings; --force replaces that result\n"
    )
    assert state(here / "out") == before


def test_a_symmetric_registration_writes_both_motions_each_the_inverse_of_the_other(here, capsys):
    assert main([*REGISTER, "--symmetric", "-o", "both"]) == 0
    assert names(Path("both")) == RESULT | {"inverse_transform.h5"}
    record = load("both/registration.json")
    assert record["configuration"]["symmetric"] and 0 < record["quality"]["inverse_consistency_mm"] < 5
    there, back = (sitk.ReadTransform(f"both/{name}.h5") for name in ("transform", "inverse_transform"))
    for point in read_landmarks("ph/landmarks.csv").moving_mm.tolist():
        assert there.TransformPoint(back.TransformPoint(point)) == pytest.approx(point, abs=0.1)
    assert main([*REGISTER, "--symmetric", "-o", "both"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main([*REGISTER, "--no-refinement", "--force", "-o", "both"]) == 0
    assert names(Path("both")) == RESULT  # no inverse of an earlier result is left
    assert load("both/registration.json")["refinement"] == {}


def test_a_damaged_record_needs_force_too(here, capsys):
    Path("damaged").mkdir()
    for text in ("{", '{"inputs": 3}', '{"inputs": {"fixed": 3}}'):
        Path("damaged/registration.json").write_text(text)
        assert main([*REGISTER, "-o", "damaged"]) == 2
        assert "--force replaces that result" in capsys.readouterr().err


def test_the_same_registration_has_the_same_bytes(here):
    shutil.copytree("out", "again")
    code, _, err = program(*REGISTER, "-o", "again", "--force", cwd=here)
    assert code == 0 and only_doubts(err)
    one, two = state(here / "out"), state(here / "again")
    assert one["registration.json"][0] != two["registration.json"][0]
    for name in RESULT - {"registration.json"}:
        assert one[name][1] == two[name][1]


def test_force_loses_nothing_where_the_new_run_fails(here, capsys):
    before = state(here / "out")
    image("soft.nii.gz", np.random.default_rng(1).normal(40, 10, (30, 30, 30)).astype(np.float32))
    assert main(["register", "ph/fixed.nii.gz", "soft.nii.gz", *SETTINGS, "-o", "out", "--force"]) == 2
    assert capsys.readouterr().err.startswith("graphreg: soft.nii.gz: No lung found")
    assert state(here / "out") == before


def test_masks_are_used_where_they_are_given_and_quiet_is_quiet(here, capfd):
    assert main([*REGISTER, *MASKS, "-o", "masked", "-q"]) == 0
    out, err = capfd.readouterr()
    assert out == "" and only_doubts(err)
    record = load("masked/registration.json")
    assert record["stages"]["mask"]["seconds"] < 0.1
    fixed, moving = (sitk.GetArrayFromImage(sitk.ReadImage(name)) for name in MASKS[1::2])
    assert record["quality"]["volume_ratio"] == pytest.approx(moving.sum() / fixed.sum())


@pytest.mark.parametrize("changes", [{}, {"mask_dice": 0.5, "seen_percent": 40.0}])
def test_a_doubtful_result_comes_with_warnings_and_fails_only_where_that_is_asked_for(
    here, capsys, monkeypatch, changes
):
    def judged(*arguments, **settings):
        return replace(graphreg.register(*arguments, **settings), quality=replace(GOOD, **changes))

    monkeypatch.setattr(run, "register", judged)
    out = f"doubtful{len(changes)}"
    assert main([*REGISTER, *MASKS, "-o", out]) == 0
    told = capsys.readouterr().err.splitlines()
    assert main([*REGISTER, *MASKS, "-o", out]) == 0  # it is kept, and so are its warnings
    assert capsys.readouterr().err.splitlines() == told
    assert main([*REGISTER, *MASKS, "-o", out, "--strict"]) == (1 if changes else 0)
    record = load(Path(out, "registration.json"))
    assert record["trustworthy"] is not bool(changes)
    assert [f"warning: {doubt['reason']}" for doubt in record["warnings"]] == told
    assert [doubt["sign"] for doubt in record["warnings"]] == (["not seen", "masks differ"] if changes else [])


def test_a_terminal_shows_progress_and_an_interrupt_leaves_nothing(here):
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [*PROGRAM, *REGISTER, "-o", "interrupted"], ENVIRONMENT | {"TERM": "xterm"})
    shown = b""
    while b"alignment" not in shown:
        shown += os.read(terminal, 1024)
    os.kill(process, signal.SIGINT)
    try:
        while part := os.read(terminal, 1024):
            shown += part
    except OSError:  # so Linux says that the terminal is closed
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130
    assert b"graphreg: interrupted" in shown and b"Traceback" not in shown
    assert not (here / "interrupted").exists()


# errors


@pytest.fixture(scope="session")
def wrong(place):
    """Files that cannot be used."""
    ct = sitk.GetArrayFromImage(sitk.ReadImage(str(place / PAIR[0]))).astype(np.float32)
    image(place / "flat.nii.gz", ct[20])
    image(place / "film.nii.gz", np.stack([ct[:9, :9, :9]] * 2))
    image(place / "broken.nii.gz", np.where(ct > 0, np.nan, ct).astype(np.float32))
    image(place / "constant.nii.gz", np.full((9, 9, 9), 7, np.float32))
    image(place / "tissue.nii.gz", np.random.default_rng(1).normal(40, 10, (40, 40, 40)).astype(np.float32))
    mask = sitk.ReadImage(str(place / MASKS[1]))
    sitk.WriteImage(mask * 0, str(place / "empty.nii.gz"))
    sitk.WriteImage(mask[1:, :, :], str(place / "shorter.nii.gz"))
    few = mask * 0
    few[20:23, 30:33, 20:23] = 1
    sitk.WriteImage(few, str(place / "few.nii.gz"))
    (place / "no.toml").write_text("count = = 3")
    (place / "unknown.toml").write_text("[levels.coarse]\nspace = 3")
    (place / "negative.toml").write_text("field_spacing_mm = -1.0")
    (place / "latin.toml").write_bytes(b"# \xe9")
    (place / "text.nii.gz").write_text("no image")
    (place / "file").write_text("a file")
    (place / "nodicom").mkdir()
    return place


WRONG = {
    "missing": (
        ["missing.nii.gz", PAIR[1]],
        "missing.nii.gz: an image file or DICOM series folder needed, nothing found",
    ),
    "flat": ([PAIR[0], "flat.nii.gz"], "flat.nii.gz: a 3-D image needed, a 2-D image of 86 x 62 pixels found"),
    "film": (["film.nii.gz", PAIR[1]], "film.nii.gz: one 3-D image needed, a 4-D image of 9 x 9 x 9 x 2 voxels found"),
    "text": (["text.nii.gz", PAIR[1]], "text.nii.gz: a NIfTI image needed"),
    "no dicom": (["nodicom", PAIR[1]], "nodicom: a folder with one DICOM series needed, no series found"),
    "NaN": (["broken.nii.gz", PAIR[1]], "broken.nii.gz: an image of finite values needed"),
    "constant": (["constant.nii.gz", PAIR[1]], "constant.nii.gz: an image with contrast needed, the value 7"),
    "no lung": (["tissue.nii.gz", PAIR[1]], "tissue.nii.gz: No lung found: needed at least 200 ml"),
    "empty mask": (
        [*PAIR, "--fixed-mask", "empty.nii.gz"],
        "empty.nii.gz: a mask with voxels that are not zero needed",
    ),
    "other grid": ([*PAIR, "--fixed-mask", "shorter.nii.gz"], "shorter.nii.gz: a mask on the grid of ph/fixed.nii.gz"),
    "keypoints": ([*PAIR, "--fixed-mask", "few.nii.gz"], "ph/fixed.nii.gz: At least 50 keypoints are needed"),
    "preset": ([*PAIR, "--preset", "slow"], "preset must be one of inhale-exhale, fast, got 'slow'"),
    "other": ([*PAIR, "--regulariser", "magic"], "regulariser must be one of "),
    "device": ([*PAIR, "--device", "abacus"], "device must be one of auto, cpu, cuda, cuda:N, got 'abacus'"),
    "no config": ([*PAIR, "--config", "missing.toml"], "missing.toml: a TOML file needed, found No such file"),
    "bad toml": ([*PAIR, "--config", "no.toml"], "no.toml: Invalid value"),
    "no text": ([*PAIR, "--config", "latin.toml"], "latin.toml: "),
    "setting": ([*PAIR, "--config", "unknown.toml"], "unknown.toml: unknown setting 'levels.coarse.space'; there are"),
    "range": ([*PAIR, "--config", "negative.toml"], "negative.toml: field_spacing_mm must be positive"),
    "file": ([*PAIR, "-o", "file"], "file: a folder to write to needed, a file found"),
    "below a file": ([*PAIR, "-o", "file/out"], "file/out: a place in a folder needed, the file file found"),
    "input": (["nodicom", PAIR[1], "-o", "nodicom"], "nodicom: a folder of its own needed for the result"),
    "usage": ([PAIR[0]], "Missing argument 'MOVING'"),
    "option": ([*PAIR, "--speed", "3"], "No such option"),
    "number": ([*PAIR, "--seed", "one"], "Invalid value for '--seed'"),
}
PROCESSES = ("missing", "flat", "NaN", "no lung", "preset", "usage")


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_that_names_it_and_nothing_is_left(wrong, case, monkeypatch, capfd):
    arguments, told = WRONG[case]
    monkeypatch.chdir(wrong)
    settings = [] if "--preset" in arguments or "--config" in arguments else SETTINGS
    given = ["register", "-o", "left", *settings, *arguments]
    one_line(program(*given, cwd=wrong) if case in PROCESSES else (main(given), *capfd.readouterr()), told)
    assert not (wrong / "left").exists() and (wrong / "file").is_file() and not list((wrong / "nodicom").iterdir())


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no folder that even root cannot write")
def test_names_of_settings_that_will_go_are_told_to_who_writes_them(tmp_path, capsys):
    (tmp_path / "old.toml").write_text("window_hu = [-950.0, 100.0]")
    assert settings.settings_of("fast", tmp_path / "old.toml").anatomy.window == FixedWindow(low=-950.0, high=100.0)
    assert capsys.readouterr().err == "warning: settings have other names now, see CHANGELOG.md: window_hu\n"


def test_a_place_that_cannot_be_written_is_noticed_before_the_images_are_read(capsys):
    assert main(["register", "missing", "missing", "-o", "/proc/out"]) == 2
    assert capsys.readouterr().err.startswith("graphreg: /proc/out: a place that can be written needed")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device"), "graphreg: failed: [Errno 28] No space left on device"),
        (ValueError("a bug"), "graphreg: failed: ValueError: a bug (--debug shows where)"),  # not of the input
        (RuntimeError("out of\nmemory"), "graphreg: failed: RuntimeError: out of memory (--debug shows where)"),
    ],
)
def test_work_that_fails_has_exit_code_1_and_a_traceback_only_for_debugging(here, monkeypatch, capsys, error, line):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(run, "register", fail)
    assert main([*REGISTER, "-o", "failed"]) == 1
    assert capsys.readouterr().err == line + "\n"
    assert main([*REGISTER, "-o", "failed", "--debug"]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown and shown.endswith(line + "\n")


# warp


def test_an_image_goes_against_the_motion(shift, tmp_path):
    hu = torch.zeros(SMALL.shape)
    hu[0, 0, 0] = -50.0  # the smallest value: what lies beyond the image, of which no record tells
    hu[1, 2, 6] = 500.0  # at x = -5 + 6 * 1 mm = 1 mm of the moving image: fixed points of x = -2 mm show it
    write_volume(Volume(SMALL, hu, "int16"), tmp_path / "moving.mha")
    code, out, err = program(
        *("warp", "shift.h5", "moving.mha", "--reference", "moving.mha", "-o", "w.nii.gz"), cwd=shift.parent
    )
    assert (code, out, err) == (0, "moving.mha on the grid of moving.mha: w.nii.gz\n", "")
    warped = sitk.ReadImage(str(tmp_path / "w.nii.gz"))
    array = sitk.GetArrayFromImage(warped)
    assert warped.GetPixelID() == sitk.sitkInt16 and array[1, 2, 3] == 500
    assert (array[..., 8:] == -50).all() and np.count_nonzero(array[..., :8]) == 1


LABELS = [(1, np.int16, sitk.sitkUInt8), (300, np.int16, sitk.sitkInt16), (9, np.uint32, sitk.sitkUInt32)]


@pytest.mark.parametrize(("top", "dtype", "kind"), [*LABELS, (9, np.float64, sitk.sitkInt32)])
def test_labels_take_the_nearest_value_as_itk_does(here, tmp_path, generator, top, dtype, kind):
    moving = sitk.ReadImage(PAIR[1])
    labels = torch.randint(0, top + 1, moving.GetSize()[::-1], generator=generator)
    made = sitk.GetImageFromArray(labels.numpy().astype(dtype))
    made.CopyInformation(moving)
    sitk.WriteImage(made, str(tmp_path / "labels.nrrd"))
    labelled = ["warp", "out/transform.h5", f"{tmp_path}/labels.nrrd", "--reference", PAIR[0], "--labels"]
    assert main([*labelled, "-o", f"{tmp_path}/warped.nrrd"]) == 0
    warped = sitk.ReadImage(str(tmp_path / "warped.nrrd"))
    transform = sitk.ReadTransform("out/transform.h5")
    fixed = sitk.ReadImage(PAIR[0])
    expected = sitk.GetArrayFromImage(sitk.Resample(made, fixed, transform, sitk.sitkNearestNeighbor, 0))
    assert warped.GetPixelID() == kind
    assert (sitk.GetArrayFromImage(warped) != expected).mean() < 1e-3  # but halfway between two voxels


def test_fractions_stay_fractions_and_are_no_labels(shift, tmp_path, capsys):
    write_volume(Volume(SMALL, torch.rand(SMALL.shape)), tmp_path / "a.nii.gz", as_float=True)
    warp = [
        "warp",
        str(shift),
        f"{tmp_path}/a.nii.gz",
        "--reference",
        f"{tmp_path}/a.nii.gz",
        "-o",
        f"{tmp_path}/b.nrrd",
    ]
    assert main(warp) == 0
    assert sitk.ReadImage(str(tmp_path / "b.nrrd")).GetPixelID() == sitk.sitkFloat32
    assert main([*warp, "--labels"]) == 2
    assert "whole numbers from -16777215 to 16777215 needed" in capsys.readouterr().err


def test_of_a_reference_the_header_is_read_alone(shift, tmp_path, generator):
    write_volume(noise(SMALL, generator), tmp_path / "a.nii.gz")
    write_volume(Volume(LARGER, torch.zeros(LARGER.shape)), tmp_path / "flat.nrrd")  # no image, were its voxels read
    options = ["--reference", f"{tmp_path}/flat.nrrd", "-o", f"{tmp_path}/b.nii.gz"]
    assert main(["warp", str(shift), f"{tmp_path}/a.nii.gz", *options]) == 0
    assert sitk.ReadImage(str(tmp_path / "b.nii.gz")).GetSize() == LARGER.shape[::-1]


def test_no_name_of_a_patient_gets_into_an_output(shift, tmp_path, capsys):
    dicom(tmp_path / "ct", SLICES)
    options = ["--reference", f"{tmp_path}/ct", "-o", f"{tmp_path}/w.nii.gz"]
    assert main(["warp", str(shift), f"{tmp_path}/ct", *options]) == 0
    assert b"Secret" not in gzip.decompress((tmp_path / "w.nii.gz").read_bytes())
    assert "Secret" not in capsys.readouterr().out


def test_an_input_is_never_written_over(shift, tmp_path, capsys, generator):
    write_volume(noise(LARGER, generator), tmp_path / "a.nii.gz")
    before = (tmp_path / "a.nii.gz").read_bytes()
    options = ["--reference", f"{tmp_path}/a.nii.gz", "-o", f"{tmp_path}/a.nii.gz"]
    assert main(["warp", str(shift), f"{tmp_path}/a.nii.gz", *options]) == 2
    assert main(["warp", str(shift), f"{tmp_path}/a.nii.gz", *options[:3], f"{tmp_path}/a.jpg"]) == 2
    assert (tmp_path / "a.nii.gz").read_bytes() == before
    first, second = capsys.readouterr().err.splitlines()
    assert "found that of an input" in first and "a name ending in .nii.gz" in second


# points


def test_points_go_with_the_motion(shift, tmp_path, capsys):
    write_points(tmp_path / "p.csv", torch.tensor([[0.0, 2.0, 3.0], [500.0, 2.0, 3.0]]))
    assert main(["points", str(shift), f"{tmp_path}/p.csv", "-o", f"{tmp_path}/q.csv"]) == 0
    rows = (tmp_path / "q.csv").read_text(encoding="utf-8").splitlines()
    assert rows == ["x,y,z", "3.000000,2.000000,3.000000", "503.000000,2.000000,3.000000"]
    assert capsys.readouterr().err.startswith("warning: 1 of 2 points lie outside")


def test_points_of_slicer_are_mapped_as_itk_does(place, tmp_path):
    fixed_mm = read_landmarks(place / "ph" / "landmarks.csv").fixed_mm[:20]
    write_points(tmp_path / "p.mrk.json", fixed_mm)
    arguments = ("points", "out/transform.h5", tmp_path / "p.mrk.json", "-o", tmp_path / "q.csv")
    code, out, err = program(*arguments, cwd=place)
    assert (code, err) == (0, "") and out.startswith("20 points mapped")
    transform = sitk.ReadTransform(str(place / "out" / "transform.h5"))
    mapped = np.loadtxt(tmp_path / "q.csv", delimiter=",", skiprows=1)
    assert mapped == pytest.approx(np.array([transform.TransformPoint(p) for p in fixed_mm.tolist()]), abs=1e-3)


# evaluate


def test_evaluate_gives_the_errors_worked_out_by_hand(shift, tmp_path, capsys):
    # moved by 3 mm in x; the landmarks move by (3, 4, 0), by (6.6, 0, 0) and by (3, 0, 0)
    fixed_mm = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [-4.0, 8.0, 9.0]])
    moved_mm = fixed_mm + torch.tensor([[3.0, 4.0, 0.0], [6.6, 0.0, 0.0], [3.0, 0.0, 0.0]])
    for name, points_mm in (("a.csv", fixed_mm), ("b.fcsv", moved_mm)):
        write_points(tmp_path / name, points_mm)
    write_volume(noise(SMALL, torch.Generator().manual_seed(1)), tmp_path / "ct.nii.gz")
    mask = torch.zeros(SMALL.shape, dtype=torch.bool)
    mask[1:3, 1:4, 2:9] = True
    write_volume((SMALL, mask), tmp_path / "mask.nii.gz")
    options = ["--fixed-landmarks", f"{tmp_path}/a.csv", "--moving-landmarks", f"{tmp_path}/b.fcsv"]
    options += ["--moving", f"{tmp_path}/ct.nii.gz", "--fixed", f"{tmp_path}/ct.nii.gz"]
    options += ["--fixed-mask", f"{tmp_path}/mask.nii.gz", "--json", f"{tmp_path}/e.json"]
    assert main(["evaluate", str(shift), *options]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split() == ["before", "4.87", "1.80", "5.00", "5.80", "6.44", "6.60", "33.3", "%"]
    assert rows[2].split() == ["after", "2.53", "2.20", "3.60", "3.80", "3.96", "4.00", "0.0", "%"]
    assert rows[5] == "in the mask: folding 0.000 %, SDlogJ 0.000, mean Jacobian 1.000"
    figures = load(tmp_path / "e.json")
    assert figures["tre"]["before"]["mean_mm"] == pytest.approx((5 + 6.6 + 3) / 3, abs=1e-5)
    # in voxels of 1 x 2 x 3 mm the errors are 2 in y, 3.6 in x and none: 4, 4 and 0 mm
    assert figures["tre_snapped"]["after"]["mean_mm"] == pytest.approx(8 / 3, abs=1e-5)
    assert figures["tre"]["after"]["count"] == 3
    assert (figures["folding_percent"], figures["mean_jacobian"]) == (0.0, pytest.approx(1.0, abs=1e-6))


def test_evaluate_tells_the_overlap_of_labels(shift, tmp_path, capsys, monkeypatch):
    # by hand: 3 voxels in a row along x, of 1 mm; the fixed ones lie 3 mm to the left of the moving ones, as the motion
    # says, and 2 of 3 voxels apart in x when nothing moves
    marks = np.zeros((2, 4, 5, 11), np.uint8)
    marks[0, 1, 2, 2:5], marks[1, 1, 2, 5:8] = 7, 7
    marks[0, 2, 3, 4], marks[1, 2, 3, 5] = 2, 2
    for name, array in zip(("f", "m"), marks, strict=True):
        made = sitk.GetImageFromArray(array)
        made.SetSpacing(SMALL.spacing_mm)
        made.SetOrigin(SMALL.origin_mm)
        sitk.WriteImage(made, str(tmp_path / f"{name}.nii.gz"))
    (tmp_path / "l.csv").write_text("fixed_x,fixed_y,fixed_z,moving_x,moving_y,moving_z\n0,0,0,3,0,0\n")
    command = ["evaluate", str(shift), "--landmarks", f"{tmp_path}/l.csv", "--json", f"{tmp_path}/e.json"]
    labels = ["--fixed-labels", f"{tmp_path}/f.nii.gz", "--moving-labels", f"{tmp_path}/m.nii.gz"]
    read: list[str] = []
    read_once = images._read
    monkeypatch.setattr(images, "_read", lambda path: read.append(path.name) or read_once(path))  # type: ignore[func-returns-value]  # the None is wanted
    assert main([*command, *labels]) == 0
    assert read == ["f.nii.gz", "m.nii.gz"]  # each once
    out = capsys.readouterr().out
    assert "label 7: Dice 0.000 -> 1.000, HD95 3.00 -> 0.00 mm" in out
    found = load(tmp_path / "e.json")["labels"]
    assert found["7"]["after"] == {"dice": 1.0, "hd95_mm": 0.0, "hd95_l2r_voxels": 0.0}
    assert found["2"]["before"] == {"dice": 0.0, "hd95_mm": 1.0, "hd95_l2r_voxels": 1.0}
    assert main([*command, *labels[:2]]) == 2
    assert "--fixed-labels and --moving-labels" in capsys.readouterr().err


def test_evaluate_measures_the_result_of_register(place, tmp_path):
    options = ("--landmarks", "ph/landmarks.csv", "--fixed-mask", MASKS[1], "--json", tmp_path / "e.json")
    code, _, err = program("evaluate", "out/transform.h5", *options, cwd=place)
    assert (code, err) == (0, "")
    figures = load(tmp_path / "e.json")
    record = load(place / "out" / "registration.json")
    pairs = read_landmarks(place / "ph" / "landmarks.csv")
    errors_mm = (read_transform(place / "out" / "transform.h5")(pairs.fixed_mm) - pairs.moving_mm).norm(dim=1)
    assert figures["tre"]["after"]["mean_mm"] == pytest.approx(errors_mm.mean().item())
    assert figures["mean_jacobian"] == pytest.approx(record["quality"]["mean_jacobian"], rel=0.02)  # of the other mask


@pytest.mark.parametrize("options", [[], ["--fixed-landmarks", "a"], ["--landmarks", "a", "--moving-landmarks", "b"]])
def test_evaluate_needs_landmarks_in_one_of_two_ways(shift, capsys, options):
    assert main(["evaluate", str(shift), *options]) == 2
    needed = "either --landmarks or both --fixed-landmarks and --moving-landmarks are needed"
    assert capsys.readouterr().err == f"graphreg: {needed}\n"


# demo


def test_the_demo_registers_measures_and_draws(tmp_path, monkeypatch, capfd):
    coarse = PhantomConfig(fixed_spacing_mm=(4.0, 5.0), moving_spacing_mm=(4.0, 5.0))
    monkeypatch.setattr(demonstration, "PhantomConfig", lambda: coarse)
    monkeypatch.setattr(settings, "named_preset", lambda _: override(preset("fast"), FAST))
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--seed", "2"]) == 0
    out, err = capfd.readouterr()
    assert only_doubts(err) and "graphreg-demo/comparison.png" in out
    assert names(tmp_path / "graphreg-demo") == RESULT | {"comparison.png", "phantom"}
    assert (tmp_path / "graphreg-demo" / "comparison.png").read_bytes().startswith(b"\x89PNG")
    means = [float(row.split(", ")[1].split()[1]) for row in out.splitlines()[1:5]]
    assert means[0] > 10 and means[2] > 10 and means[1] < 3 and means[3] < 3
