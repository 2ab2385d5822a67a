"""The same scans and settings give the same bytes, whatever shares the machine, the study or the memory with them."""

import subprocess
from dataclasses import replace

import pytest
import torch
from support.levels import QUICK, dense
from support.problems import noise
from support.program import ENVIRONMENT, LIGHT, PROGRAM, SETTINGS, scans_of

from graphreg.config import override
from graphreg.core.grid import Grid
from graphreg.core.records import Displacements, FeatureVolume, ImagePair, Keypoints
from graphreg.interpolation.thin_plate import ThinPlate
from graphreg.io.datasets import Case, DataSet
from graphreg.phantom import PhantomConfig, make_phantom
from graphreg.pipeline import register
from graphreg.presets import preset
from graphreg.refinement.feature_difference import FeatureDifference
from graphreg.runtime import chunks
from graphreg.study.runner import run_study

FILES = ("transform.h5", "warped.nii.gz", "keypoints.csv")


@pytest.fixture(params=[2, 3])
def threads(request):
    """More than one thread, and a way to set how many there are."""
    before = torch.get_num_threads()
    yield request.param
    torch.set_num_threads(before)


def test_the_command_writes_the_same_bytes_for_any_number_of_threads(coarser, tmp_path):
    found = []
    for count in ("1", "2", "3"):
        words = ["register", *map(str, scans_of(coarser)[:2]), *SETTINGS[:-1], "light.toml", "-q", "-o"]
        environment = ENVIRONMENT | {"OMP_NUM_THREADS": count, "OMP_WAIT_POLICY": "PASSIVE"}
        subprocess.run([*PROGRAM, *words, tmp_path / count], cwd=coarser, env=environment, check=True)
        found.append([(tmp_path / count / name).read_bytes() for name in FILES])
    assert found[0] == found[1] == found[2]


def test_a_spline_of_as_many_knots_as_any_preset_has_is_the_same_for_any_number_of_threads(generator, threads):
    """So large a matrix is factored in parts that depend on the threads, if it is left to them."""
    points_mm = 200 * torch.rand(3072, 3, generator=generator)
    moved = Displacements(Keypoints(points_mm), torch.randn(3072, 3, generator=generator), torch.ones(3072))
    where = points_mm[:100] + 1
    torch.set_num_threads(1)
    alone = ThinPlate(smoothness_mm=0.3).fit(moved)(where)
    torch.set_num_threads(threads)
    assert torch.equal(ThinPlate(smoothness_mm=0.3).fit(moved)(where), alone)
    assert torch.get_num_threads() == threads


def test_an_objective_of_many_points_is_the_same_for_any_number_of_threads(generator, threads):
    grid = Grid((50, 52, 54), (1.5, 1.5, 1.5))
    fixed, moving = (FeatureVolume(grid, noise(grid, generator).data[None] / 100) for _ in range(2))
    weights = torch.rand(grid.shape, generator=generator)
    objective = FeatureDifference(fixed, moving, weights)
    parameters = torch.randn(objective.start().shape, generator=generator)
    found = []
    for count in (1, threads):
        torch.set_num_threads(count)
        at = parameters.clone().requires_grad_()
        value = objective(at)
        found.append((value.detach(), *torch.autograd.grad(value, at)))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_what_is_worked_on_at_once_changes_a_motion_by_rounding_only(monkeypatch):
    coarse = PhantomConfig(fixed_spacing_mm=(5.0, 6.0), moving_spacing_mm=(5.0, 5.5), vessel_spacing_mm=15.0)
    scans = make_phantom(1, coarse).pair
    pair = ImagePair(scans.fixed, scans.moving)
    config = replace(QUICK, refinement=(replace(dense("ncc"), spacing_mm=4.0),))
    whole = register(pair, config=config)
    monkeypatch.setattr(chunks, "CACHED", 1 << 13)
    monkeypatch.setattr(Grid.slabs, "__defaults__", (1 << 11,))
    assert len(list(whole.field.grid.slabs())) > 10
    parts = register(pair, config=config)
    assert torch.equal(parts.keypoints.keypoints.points_mm, whole.keypoints.keypoints.points_mm)
    apart = (parts.field.displacement_mm - whole.field.displacement_mm).norm(dim=0)
    assert apart.max() < 0.05 and apart.mean() < 1e-3  # mm; the descent makes more of it


def test_a_case_of_a_study_depends_neither_on_the_others_nor_on_their_order_nor_on_the_workers(coarser, tmp_path):
    one, other, *_ = scans_of(coarser)
    cases = Case("there", {"fixed": one, "moving": other}), Case("back", {"fixed": other, "moving": one})
    config = override(preset("fast"), LIGHT)
    run_study(DataSet("both", cases), config, tmp_path / "one")
    run_study(DataSet("both", cases[::-1]), config, tmp_path / "two", workers=2)
    for name in ("there", "back"):
        for file in FILES:
            assert len({(tmp_path / out / name / file).read_bytes() for out in ("one", "two")}) == 1
