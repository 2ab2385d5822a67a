"""Lattices whose points are counted and placed by hand."""

import pytest
import torch
from support.problems import LARGER, OBLIQUE, noise

from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import Volume
from graphreg.sampling.lattice import Lattice


def everywhere(grid):
    return torch.ones(grid.shape, dtype=torch.bool)


def test_steps_are_rounded_to_voxels_and_centred_in_the_box_of_the_mask():
    # 4 mm are 4, 2 and 1 voxels of 1, 2 and 5 mm along x, y and z. Of the mask's 11, 10 and 5 voxels along them, the
    # lattice takes 3 (2 left over, 1 before), 5 (1 left over, 0 before) and 5.
    grid = Grid((9, 13, 20), (1.0, 2.0, 5.0), (-100.0, 50.0, 7.0))
    mask = torch.zeros(grid.shape, dtype=torch.bool)
    mask[2:7, 1:11, 6:17] = True
    found = Lattice(spacing_mm=4.0)(Volume(grid, torch.zeros(grid.shape)), mask).points_mm
    expected = [
        [x, y, z]  # z = 7 + 5 k, y = 50 + 2 j, x = -100 + i
        for z in (17.0, 22.0, 27.0, 32.0, 37.0)
        for y in (52.0, 56.0, 60.0, 64.0, 68.0)
        for x in (-93.0, -89.0, -85.0)
    ]
    assert found.tolist() == expected


def test_points_outside_the_mask_are_left_out_in_the_order_of_the_array(generator):
    mask = torch.rand(LARGER.shape, generator=generator) < 0.5
    mask[0], mask[-1], mask[:, 0], mask[:, -1], mask[..., 0], mask[..., -1] = (True,) * 6
    volume = noise(LARGER, generator)
    every = Lattice(spacing_mm=5.0)(volume, everywhere(LARGER)).points_mm
    index = LARGER.to_index(every.double()).round().long()
    assert torch.equal(Lattice(spacing_mm=5.0)(volume, mask).points_mm, every[mask[tuple(index.T)]])


def test_neighbours_on_an_oblique_grid_are_a_step_apart_along_its_axes(generator):
    found = Lattice(spacing_mm=2.6)(noise(OBLIQUE, generator), everywhere(OBLIQUE)).points_mm.double()
    index = OBLIQUE.to_index(found)  # steps of 4, 2 and 1 voxels of 0.7, 1.3 and 2.5 mm
    assert torch.allclose(index, index.round(), atol=1e-3)
    for axis, (step, start, count) in enumerate([(1, 0, 6), (2, 0, 4), (4, 0, 3)]):
        expected = [start + step * k for k in range(count)]
        assert index[:, axis].round().unique().tolist() == expected


def test_too_few_points_are_named():
    volume = Volume(Grid((40, 40, 40), (1.0, 1.0, 1.0)), torch.zeros(40, 40, 40))
    with pytest.raises(InputError, match="At least 50 keypoints .* found 27"):
        Lattice(spacing_mm=16.0)(volume, everywhere(volume.grid))
    with pytest.raises(InputError, match="found 0"):
        Lattice()(volume, ~everywhere(volume.grid))
    with pytest.raises(ValueError, match="must be bool"):
        Lattice()(volume, volume.data)
    with pytest.raises(InputError, match="positive, got 0"):
        Lattice(spacing_mm=0.0)
