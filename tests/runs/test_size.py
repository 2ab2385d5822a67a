"""Memory is foreseen and told, and images and settings of extreme size do."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch
from support.dicom import SLICES, dicom
from support.problems import OBLIQUE, SMALL, noise, placed_grid, present
from support.program import FAST, LINUX, SETTINGS, load, one_line, scans_of

from graphreg.cli import main
from graphreg.config import LevelConfig, override
from graphreg.core.grid import Grid
from graphreg.core.records import ImagePair, Volume
from graphreg.core.resampling import identity, resample, resample_mask
from graphreg.features import FEATURES, Gradients, Intensities, MindSSC
from graphreg.interpolation import BSpline, ThinPlate
from graphreg.io import write_volume
from graphreg.io.extents import Extent, read_extent
from graphreg.matching import DisplacementSearch
from graphreg.phantom import PhantomConfig, make_phantom
from graphreg.pipeline import register
from graphreg.presets import preset
from graphreg.runs import requirements
from graphreg.runs.requirements import needed_bytes
from graphreg.runtime import chunks, memory
from graphreg.runtime.chunks import FILLING, in_smaller_parts, rows
from graphreg.runtime.memory import available_bytes
from graphreg.sampling import Uniform

CPU, GPU = torch.device("cpu"), torch.device("cuda")


# memory of a GPU


def full_until(parts):
    """Work that runs out of memory until its parts are so many times smaller; what it was tried with."""
    tried = []

    def work():
        tried.append(FILLING // rows(1, GPU))
        if tried[-1] < parts:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return "done"

    return work, tried


@pytest.mark.parametrize(("parts", "tried"), [(1, [1]), (4, [1, 4]), (16, [1, 4, 16])])
def test_work_is_begun_anew_in_smaller_parts_until_a_gpu_can_hold_them(parts, tried):
    work, seen = full_until(parts)
    assert in_smaller_parts(work) == ("done", parts) and seen == tried
    assert rows(1, GPU) == FILLING  # for whatever comes next


def test_work_begun_anew_in_smaller_parts_fails_where_none_is_small_enough_and_not_on_the_cpu():
    work, seen = full_until(math.inf)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        in_smaller_parts(work)
    assert seen == [1, 4, 16] and rows(1, GPU) == FILLING

    def wrong():
        seen.append("wrong")
        raise ValueError

    with pytest.raises(ValueError):
        in_smaller_parts(wrong)
    assert seen.count("wrong") == 1
    assert in_smaller_parts(lambda: rows(1, CPU)) == (chunks.CACHED, 1)


@pytest.fixture
def command(coarser, tmp_path):
    """Registers a coarse phantom."""
    fixed, moving, fixed_mask, moving_mask = map(str, scans_of(coarser))
    given = ["--fixed-mask", fixed_mask, "--moving-mask", moving_mask, *SETTINGS[:-1], f"{coarser}/fast.toml"]
    return ["register", fixed, moving, *given, "--no-refinement", "-o", str(tmp_path / "out")]


def test_a_gpu_that_is_too_small_for_the_usual_parts_is_told_of(command, tmp_path, monkeypatch, capsys):
    search = DisplacementSearch.__call__

    def short(*arguments, **others):
        if rows(1, GPU) > FILLING // 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return search(*arguments, **others)

    monkeypatch.setattr(DisplacementSearch, "__call__", short)
    assert main(command) == 0
    out, err = capsys.readouterr()
    told = "warning: the memory of the GPU did not suffice until the work was done in parts 4 times smaller"
    assert err.splitlines()[0] == told
    assert load(tmp_path / "out" / "registration.json")["parts"] == 4


def test_a_gpu_that_is_too_small_altogether_is_one_line(command, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(DisplacementSearch, "__call__", full)
    assert main(command) == 1
    assert capsys.readouterr().err == "graphreg: failed: the GPU has not enough memory (--device cpu does without)\n"
    assert not (tmp_path / "out").exists()


# memory that is foreseen


def test_an_image_tells_its_extent_before_it_is_read(tmp_path):
    for name in ("a.nii.gz", "a.mha", "a.nrrd"):
        write_volume(Volume(SMALL, torch.arange(220.0).reshape(SMALL.shape)), tmp_path / name)
        assert read_extent(tmp_path / name) == Extent(220, (11.0, 10.0, 12.0))
    dicom(tmp_path / "ct", SLICES)
    slices = sitk.GetArrayFromImage(sitk.ReadImage(sorted(map(str, (tmp_path / "ct").iterdir()))))
    extent = present(read_extent(tmp_path / "ct"))
    assert extent.voxels == slices.size and extent.size_mm[2] == math.inf
    (tmp_path / "text.nii").write_text("no image")
    assert read_extent(tmp_path / "text.nii") is None and read_extent(tmp_path / "missing.nii") is None


def test_memory_grows_with_images_grids_keypoints_and_labels():
    settings, chest = preset("inhale-exhale"), Extent(10**7, (320.0, 320.0, 300.0))
    usual = needed_bytes(chest, chest, settings)
    many = "levels.wide.sampler = {kind = 'uniform', count = 20000}"
    larger = {
        "image": needed_bytes(Extent(10**8, chest.size_mm), chest, settings),
        "lungs": needed_bytes(chest, chest, settings, region_mm=(300.0, 200.0, 280.0)),
        "spacing": needed_bytes(chest, chest, override(settings, "levels.finest.spacing_mm = 0.8")),
        "keypoints": needed_bytes(chest, chest, override(settings, many)),
        "labels": needed_bytes(chest, chest, override(settings, "levels.finest.matcher.radius_mm = 20.0")),
    }
    assert all(value > usual for value in larger.values())
    assert needed_bytes(chest, chest, settings, on_gpu=True) <= usual
    assert usual < needed_bytes(chest, Extent(10**7, (320.0, 320.0, math.inf)), settings) + 10**8


@pytest.mark.parametrize(
    ("features", "interpolator", "needed"),
    [
        (MindSSC(), ThinPlate(), 24 * 1000**2),
        (MindSSC(), BSpline(), 140 * 50**3),
        (Gradients(), BSpline(), (8 + 3 * 11) * 50**3),
        (Intensities(), BSpline(), (8 + 11) * 50**3),
        (print, print, (8 + 11) * 50**3),  # of one's own, which tell nothing
    ],
)
def test_memory_is_that_of_the_features_and_the_interpolator_there_are(features, interpolator, needed):
    # 80 mm and 10 on either side are 50 voxels of 2 mm; 17 displacements along each axis
    sampler, matcher = Uniform(count=1000), DisplacementSearch(radius_mm=16.0, step_mm=2.0)
    level = LevelConfig(name="one", spacing_mm=2.0, sampler=sampler, matcher=matcher)
    level = replace(level, features=features, interpolator=interpolator)
    nothing = Extent(0, (80.0, 80.0, 80.0))
    found = needed_bytes(nothing, nothing, replace(preset("fast"), levels=(level,)), region_mm=(80.0, 80.0, 80.0))
    assert found == needed + 12 * 1000 * 17**3


@pytest.mark.parametrize("make", FEATURES.values(), ids=list(FEATURES))
def test_features_have_as_many_channels_as_they_tell(make, generator):
    volume = noise(Grid((12, 12, 12), (2.0, 2.0, 2.0)), generator)
    features = make()
    assert features.channels == len(features(volume, volume.data > 0).data)


def test_images_that_memory_cannot_hold_are_refused_in_one_line_before_they_are_read(command, monkeypatch, capsys):
    monkeypatch.setattr(requirements, "available_bytes", lambda device: 20e6)
    monkeypatch.setattr("graphreg.runs.run.read_pair", lambda *_: pytest.fail("images are read"))
    told = " GB of memory on the cpu for these images and settings needed, 0.02 GB available found"
    err = one_line((main(command), *capsys.readouterr()), told)
    assert err.startswith(f"graphreg: {command[1]} and {command[2]}: at least 0.")


@LINUX
def test_available_memory_is_the_least_that_machine_groups_and_limits_leave(tmp_path, monkeypatch):
    import resource

    free = available_bytes(CPU)
    told = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
    total = sum(1024 * int(told[name].split()[0]) for name in ("MemTotal", "SwapTotal"))
    assert 1e6 < free < total
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**60, 2**60))
    assert available_bytes(CPU) <= 2**60
    used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (used + 10**8, resource.RLIM_INFINITY))
    assert available_bytes(CPU) == pytest.approx(10**8, abs=2e7)


@pytest.mark.parametrize(
    ("line", "folder", "limit", "used"),
    [
        ("0::/a/b", "a", "memory.max", "memory.current"),
        ("4:memory:/a/b", "memory/a", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ],
)
def test_control_groups_of_either_kind_leave_what_they_do_not_use(tmp_path, monkeypatch, line, folder, limit, used):
    (tmp_path / folder / "b").mkdir(parents=True)
    (tmp_path / folder / limit).write_text("1000\n")
    (tmp_path / folder / used).write_text("700\n")
    (tmp_path / folder / "memory.stat").write_text("anon 500\ninactive_file 150\nactive_file 50\n")
    (tmp_path / folder / "b" / "memory.max").write_text("max\n")
    (tmp_path / "cgroup").write_text(line + "\n9:name=systemd:/\n")
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "cgroup")
    assert min(memory._allowed()) == 1000 - 700 + 150 + 50


# small images, many keypoints


@pytest.fixture(scope="module")
def lungs():
    """A phantom with 40 x 40 x 40 voxels."""
    return make_phantom(1, PhantomConfig(fixed_spacing_mm=(9.0, 7.0), moving_spacing_mm=(9.0, 7.0)))


def forty(volume, mask):
    """The middle of an image on a grid of 40 x 40 x 40 voxels that holds all of it."""
    grid = volume.grid
    size = [(n - 1) * s for n, s in zip(reversed(grid.shape), grid.spacing_mm, strict=True)]
    small = placed_grid((40, 40, 40), [length / 39 for length in size], grid.origin_mm, grid.direction)
    return resample(volume, small, identity), resample_mask(mask, grid, small, identity)


@pytest.mark.parametrize("given", [True, False])
def test_images_of_40_voxels_a_side_are_registered(lungs, given):
    fixed, fixed_mask = forty(lungs.pair.fixed, lungs.pair.fixed_mask)
    moving, moving_mask = forty(lungs.pair.moving, lungs.pair.moving_mask)
    assert fixed.grid.shape == moving.grid.shape == (40, 40, 40)
    masks = (fixed_mask, moving_mask) if given else ()
    done = register(ImagePair(fixed, moving, *masks), config=override(preset("fast"), FAST))
    points_mm = lungs.landmarks
    before = (points_mm.fixed_mm - points_mm.moving_mm).norm(dim=1).mean()
    after = (done.field(points_mm.fixed_mm) - points_mm.moving_mm).norm(dim=1).mean()
    assert before > 15 and after < 0.4 * before


def test_as_many_keypoints_as_are_asked_for_are_registered(lungs):
    settings = override(preset("fast"), FAST)
    last = settings.levels[-1]
    dense = replace(last, sampler=Uniform(count=3000), matcher=DisplacementSearch(radius_mm=3.0, step_mm=3.0))
    done = register(lungs.pair, config=replace(settings, levels=(settings.levels[0], dense), refinement=()))
    points = lungs.landmarks
    before = (points.fixed_mm - points.moving_mm).norm(dim=1).mean()
    assert len(done.keypoints.keypoints) == 3000
    assert before > 15 and (done.field(points.fixed_mm) - points.moving_mm).norm(dim=1).mean() < 0.4 * before


def test_a_mask_is_resampled_as_the_image_of_its_voxels(generator):
    grid = Grid((9, 11, 13), (0.7, 1.3, 2.5), (4.0, -3.0, 1.0), OBLIQUE.direction)
    mask = torch.zeros(grid.shape, dtype=torch.bool)
    mask[0:4, 3:9, 5:13] = torch.rand(4, 6, 8, generator=generator) < 0.6
    for target in (grid.with_spacing(0.9), Grid.covering(grid.corners_mm(), 0.8, 2.0)):
        whole = resample(Volume(grid, mask.float()), target, identity, outside=0.0).data > 0.5
        assert torch.equal(resample_mask(mask, grid, target, identity), whole) and bool(whole.any())
    assert not bool(resample_mask(mask & ~mask, grid, grid, identity).any())
