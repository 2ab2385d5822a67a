"""``graphreg train`` as users run it, on scans and networks so small that it takes seconds."""

import pytest
import torch
from support.program import names, one_line, rows, state

from graphreg.analysis.metrics import tre
from graphreg.cli import main
from graphreg.core.grid import Grid
from graphreg.core.records import Volume
from graphreg.core.resampling import identity
from graphreg.io import read_transform, write_volume
from graphreg.phantom import PhantomConfig, known_pairs, make_phantom
from graphreg.regularisers.weights_file import Weights, fingerprint, read_weights

LEVEL = """
[levels.{}]
spacing_mm = 4.0
sampler = {{count = 120}}
features = {{dilation_mm = 4.0, radius_mm = 4.0}}
matcher = {{radius_mm = {}, step_mm = {}}}"""
LEVELS = {"wide": (32.0, 8.0), "coarse": (16.0, 4.0), "middle": (8.0, 4.0)}
TINY = "field_spacing_mm = 6.0" + "".join(LEVEL.format(name, *costs) for name, costs in LEVELS.items())
SCANS = PhantomConfig(fixed_spacing_mm=(4.0, 5.0), moving_spacing_mm=(4.0, 5.0))
TRAIN = ["train", "--preset", "fast", "--config", "tiny.toml", "--levels", "coarse,middle", "--made", "2", "-q"]
SAMPLES = {f"000{n}-{level}.safetensors" for n in (0, 1) for level in ("wide", "coarse", "middle")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with settings, and with out, where a network was trained for four steps of phantoms."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "tiny.toml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_pairs, "make_phantom", lambda seed, _: make_phantom(seed, SCANS))
        patch.chdir(folder)
        assert main([*TRAIN, "--steps", "4", "-o", "out"]) == 0
    return folder


@pytest.fixture(autouse=True)
def nothing_is_made_again(here, monkeypatch):
    monkeypatch.setattr("graphreg.training.sources._samples", lambda *_: pytest.fail("samples are made again"))


def test_training_leaves_weights_losses_and_samples(here):
    out = here / "out"
    name = "coarse-middle"
    assert names(out) == {"samples", f"{name}.safetensors", f"{name}.pt", f"{name}.csv"}
    assert names(out / "samples") == SAMPLES | {"sources.json"}
    weights = read_weights(out / f"{name}.safetensors")
    assert weights.architecture == "unrolled"
    assert weights.training["levels"] == ["coarse", "middle"]
    assert [weights.training[key] for key in ("made", "seed", "steps", "started_from")] == [2, 0, 4, None]
    (row,) = rows(out / f"{name}.csv")
    assert row["step"] == "4"
    assert weights.training["held_out_loss_mm"] == pytest.approx(float(row["validation_mm"]), abs=1e-4)


def test_trained_weights_register(here):
    own = TINY.replace("keypoints", 'graphregnet.weights = "out/coarse-middle.safetensors"\nkeypoints')
    (here / "own.toml").write_text(own)
    phantom = make_phantom(1, SCANS)
    for name in ("fixed", "moving"):
        write_volume(getattr(phantom.pair, name), here / f"{name}.nii.gz")
    settings = ["--preset", "fast", "--config", "own.toml", "--regulariser", "graphregnet", "-q"]
    assert main(["register", "fixed.nii.gz", "moving.nii.gz", *settings, "-o", "found"]) == 0
    motion = read_transform(here / "found" / "transform.h5")
    assert tre(motion, phantom.landmarks).mean() < 0.5 * tre(identity, phantom.landmarks).mean()


def test_the_same_command_again_goes_on_where_it_was(here, capsys):
    before = state(here / "out" / "samples")
    assert main([*TRAIN[:-1], "--steps", "6", "-o", "out"]) == 0
    assert state(here / "out" / "samples") == before
    assert [row["step"] for row in rows(here / "out" / "coarse-middle.csv")] == ["4", "6"]
    assert read_weights(here / "out" / "coarse-middle.safetensors").training["steps"] == 6
    out, err = capsys.readouterr()
    assert out.startswith("loss ") and out.endswith(": out/coarse-middle.safetensors\n") and err == ""


def test_training_may_start_from_weights_and_keeps_their_architecture(here):
    origin = read_weights(here / "out" / "coarse-middle.safetensors")
    (here / "start").mkdir()
    (here / "out" / "samples").rename(here / "start" / "samples")
    try:
        start = ["--start", "out/coarse-middle.safetensors", "--steps", "1", "-o", "start"]
        assert main([*TRAIN, *start]) == 0
    finally:
        (here / "start" / "samples").rename(here / "out" / "samples")
    found = read_weights(here / "start" / "coarse-middle.safetensors")
    assert (found.architecture, found.settings) == (origin.architecture, origin.settings)
    assert found.training["started_from"] == "out/coarse-middle.safetensors"
    assert fingerprint(found.tensors) != fingerprint(origin.tensors)
    largest = max((found.tensors[n] - origin.tensors[n]).abs().max().item() for n in origin.tensors)
    assert largest < 0.01  # a single step


@pytest.fixture(scope="module")
def wrong(place):
    """Places that cannot be used."""
    (place / "empty").mkdir()
    (place / "other").mkdir()
    (place / "other" / "notes.txt").write_text("no scan")
    (place / "file").write_text("no folder")
    write_volume(Volume(Grid((4, 5, 6), (1.0, 1.0, 1.0)), torch.zeros(4, 5, 6)), place / "small.nii.gz")
    Weights("transformer", {}, {"a": torch.zeros(1)}, {}).save(place / "alien.safetensors")
    return place


WRONG = {
    "levels": (["--levels", "coarse,finest"], "levels must be some of wide, coarse, middle, got coarse, finest"),
    "no levels": (["--levels", ","], "levels must be some of wide, coarse, middle, got ,"),
    "empty scans": (["--scans", "empty"], "empty: a folder of scans ("),
    "other scans": (["--scans", "other"], "other: a folder of scans ("),
    "missing scans": (["--scans", "missing"], "missing: a folder needed, found No such file"),
    "a scan": (["--scans", "small.nii.gz"], "small.nii.gz: a folder needed, found Not a directory"),
    "breaths": (["--breaths", "empty"], "empty: a folder of csv files of corresponding points needed, found none in"),
    "missing pairs": (["--pairs", "missing"], "missing: a folder needed, found No such file"),
    "empty pairs": (["--pairs", "empty"], "empty: folders with fixed.nii.gz and moving.nii.gz needed, found none in"),
    "start": (["--start", "finer"], "weights must be one of coarse, fine, published, or a path"),
    "start file": (["--start", "missing.safetensors"], "missing.safetensors: a file of network weights"),
    "alien": (["--start", "alien.safetensors"], "architecture must be one of unrolled, published, got 'transformer'"),
    "architecture": (["--architecture", "transformer"], "architecture must be one of unrolled, published"),
    "steps": (["--steps", "0"], "Invalid value for '--steps'"),
    "preset": (["--preset", "slow"], "preset must be one of"),
    "device": (["--device", "abacus"], "device must be one of"),
    "file": (["-o", "file"], "file: a folder to write to needed, a file found"),
    "nothing": (["--made", "0"], "at least 2 pairs"),
    "one": (["--made", "1"], "at least 2 pairs"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_nothing_is_made(case, wrong, capfd):
    arguments, told = WRONG[case]
    one_line((main([*TRAIN, "-o", "left", *arguments]), *capfd.readouterr()), told)
    assert not list((wrong / "left").glob("*"))
