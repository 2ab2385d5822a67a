"""Directions of ramps known by hand, and of the same image however it is stored or turned."""

import pytest
import torch
from support.problems import grid_of, smooth_noise, stored_otherwise

from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import Volume
from graphreg.features.gradients import Gradients

TURNED = grid_of((16, 18, 20), [1.5, 1.5, 1.5], [-20.0, 30.0, 7.0], [10.0, -20.0, 35.0], flip=True)
INNER = (slice(None), slice(6, -6), slice(6, -6), slice(6, -6))


def ramp(grid, slope):
    """The image that rises by so much per mm along x, y and z of the patient."""
    slope = torch.tensor(slope, dtype=torch.float64)
    return Volume(grid, grid.points_mm(slope) @ slope)


@pytest.mark.parametrize("grid", [Grid((16, 18, 20), (2.0, 2.0, 2.0)), TURNED])
def test_a_ramp_points_the_way_it_rises_in_the_patient(grid):
    # by hand: |(6, -9, 2)| = 11, so that with noise of 60 the length is 11 / 61
    volume = ramp(grid, [6.0, -9.0, 2.0])
    found = Gradients(sigma_mm=1.5, noise=60.0)(volume, volume.data > 0).data[INNER]
    expected = torch.tensor([6.0, -9.0, 2.0]).double() / 61
    assert torch.allclose(found, expected[:, None, None, None].expand_as(found), atol=1e-9)


def test_directions_are_as_long_at_faint_edges_as_at_strong_ones_and_none_where_it_is_flat(generator):
    volume = smooth_noise(TURNED, generator)
    faint = Volume(TURNED, volume.data / 50)
    one, other = (Gradients(noise=1e-6)(v, v.data > 0).data for v in (volume, faint))
    assert torch.allclose(one, other, atol=1e-6)
    assert torch.allclose(one.norm(dim=0), torch.ones(()).double(), atol=1e-6)
    flat = Gradients()(Volume(TURNED, torch.full(TURNED.shape, 70.0)), volume.data > 0)
    assert torch.allclose(flat.data, torch.zeros(()), atol=1e-5)


def test_directions_do_not_depend_on_the_order_of_storage(generator):
    volume = smooth_noise(TURNED, generator)
    expected = Gradients()(volume, volume.data > 0)
    grid, data = stored_otherwise(TURNED, volume.data, (2, 0, 1), (0, 1))
    found = Gradients()(Volume(grid, data), data > 0)
    for one, other in zip(expected.data, found.data, strict=True):
        assert torch.allclose(stored_otherwise(TURNED, one, (2, 0, 1), (0, 1))[1], other, atol=1e-9)


def test_what_cannot_be_used_is_named(generator):
    flat = Volume(Grid((4, 4, 4), (1.0, 1.0, 2.0)), torch.zeros(4, 4, 4))
    with pytest.raises(InputError, match=r"isotropic grid, got a spacing of \(1.0, 1.0, 2.0\) mm"):
        Gradients()(flat, flat.data > 0)
    for wrong in ({"sigma_mm": -1.0}, {"noise": 0.0}):
        with pytest.raises(InputError, match="gradients needs"):
            Gradients(**wrong)
