import itertools
import math

import numpy as np
import pytest
import torch

from graphreg.analysis.agreement import ncc
from graphreg.analysis.overlap import dice_by_label, hausdorff_95, hausdorff_95_l2r
from graphreg.core.grid import Grid

GRID = Grid((3, 4, 30), (3.0, 4.0, 12.0), (-5.0, 7.0, 100.0), ((0.6, -0.8, 0.0), (0.8, 0.6, 0.0), (0.0, 0.0, 1.0)))


def mask(*voxels, shape=GRID.shape):
    made = torch.zeros(shape, dtype=torch.bool)
    for voxel in voxels:
        made[voxel] = True
    return made


def ball(centre, radius, shape=(14, 16, 18)):
    index = torch.cartesian_prod(*(torch.arange(n) for n in shape)) - torch.tensor(centre)
    return (index.square().sum(1) <= radius**2).reshape(shape)


def row(count, first=0):
    return mask((1, 1, slice(first, first + count)))


def test_dice_of_every_label_by_hand():
    a = torch.tensor([[0, 1, 1, 2], [2, 2, 0, 4]])
    b = torch.tensor([[0, 1, 0, 2], [2, 1, 0, 7]])
    assert dice_by_label(a, b) == {1: 2 / 4, 2: 4 / 5, 4: 0, 7: 0}
    assert dice_by_label(a.to(torch.uint8), a.to(torch.uint8)) == {1: 1, 2: 1, 4: 1}
    assert dice_by_label(0 * a, 0 * b) == {}


def test_surfaces_one_voxel_apart_along_every_axis_lie_a_diagonal_apart_both_ways():
    # spacing (3, 4, 12) mm: 9 + 16 + 144 = 169
    assert hausdorff_95(mask((0, 0, 0)), mask((1, 1, 1)), GRID) == pytest.approx(13)
    assert hausdorff_95_l2r(mask((0, 0, 0)), mask((1, 1, 1))) == pytest.approx(3**0.5)
    a, b = ball((6, 7, 8), 5), ball((5, 8, 10), 3)
    grid = Grid(tuple(a.shape), (0.7, 1.3, 2.5))
    assert hausdorff_95(a, b, grid) == hausdorff_95(b, a, grid)
    assert hausdorff_95_l2r(a, b) == hausdorff_95_l2r(b, a)


def test_the_percentile_is_that_of_the_distances_of_both_directions_together():
    # five voxels and the same five with a stray one 10 voxels of 3 mm further: ten times 0, once 30, half the way
    assert hausdorff_95(row(5), row(5) | mask((1, 1, 14)), GRID) == pytest.approx(15)


def test_what_lies_inside_is_no_surface_and_a_voxel_at_the_border_of_the_image_is():
    full, hollow = ball((6, 7, 8), 5), ball((6, 7, 8), 5) & ~ball((6, 7, 8), 2)
    grid = Grid(tuple(full.shape), (1.0, 1.0, 1.0))
    assert hausdorff_95(full, full, grid) == hausdorff_95_l2r(full, full) == 0
    assert hausdorff_95(full, hollow, grid) > 1
    cube = torch.ones(5, 5, 5, dtype=torch.bool)
    assert hausdorff_95(cube, mask((2, 2, 2), shape=(5, 5, 5)), Grid((5, 5, 5), (1.0, 1.0, 1.0))) > 2


def surface_by_search(solid):
    """Centres of the voxels with one of six neighbours outside, one voxel after the other."""
    for index in itertools.product(*map(range, solid.shape)):
        steps = [np.add(index, sign * np.eye(3, dtype=int)[axis]) for axis in range(3) for sign in (1, -1)]
        inside = [bool((s >= 0).all() and (s < solid.shape).all()) and bool(solid[tuple(s)]) for s in steps]
        if solid[index] and not all(inside):
            yield index


@pytest.mark.parametrize("seed", range(3))
def test_distances_agree_with_a_search_through_all_pairs(seed):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.rand(6, 7, 8, generator=generator) < 0.8 for _ in range(2))
    a, b = a & ball((2, 3, 3), 3, a.shape), b & ball((3, 4, 5), 2, b.shape)
    grid = Grid((6, 7, 8), (0.7, 1.3, 2.5), GRID.origin_mm, GRID.direction)
    one, other = (grid.to_mm(torch.tensor(list(surface_by_search(m.numpy()))).double()) for m in (a, b))
    apart = torch.cdist(one, other)
    expected = np.percentile(torch.cat([apart.amin(0), apart.amin(1)]).numpy(), 95)
    assert hausdorff_95(a, b, grid) == pytest.approx(expected, abs=1e-9)


def test_learn2reg_weighs_distances_by_area_and_takes_the_larger_of_both_directions():
    # a rod of n voxels has 8 corners of sqrt(3)/8 and 4 (n - 1) slanted squares of sqrt(1/2); 4 corners lie 1 apart:
    # 4.6 % of the area of 7 voxels, 5.4 % of that of 6
    assert hausdorff_95_l2r(row(6), row(7)) == 0
    assert hausdorff_95_l2r(row(5), row(6)) == 1
    assert hausdorff_95_l2r(row(1), row(20)) == pytest.approx(18)  # the last 5 % of the rod; nothing the other way


def test_the_figure_of_learn2reg_is_that_of_its_evaluator():
    # worked out by surface-distance 0.1, on which the evaluator rests
    z, y, x = (torch.arange(n).reshape(s) for n, s in ((14, (-1, 1, 1)), (16, (-1, 1)), (18, (-1,))))
    stripes = (3 * x + y * y + 2 * z) % 7 < 4
    assert hausdorff_95_l2r(ball((6, 7, 8), 5), ball((6, 8, 10), 4)) == pytest.approx(8**0.5)
    assert hausdorff_95_l2r(ball((6, 7, 8), 6), ball((6, 7, 8), 3) & stripes) == pytest.approx(21**0.5)


@pytest.mark.parametrize("measure", [lambda a, b: hausdorff_95(a, b, GRID), hausdorff_95_l2r])
def test_the_distance_of_nothing_or_of_two_shapes_is_refused(measure):
    with pytest.raises(ValueError, match="empty mask is not defined"):
        measure(row(3), mask())
    with pytest.raises(ValueError, match="Masks must be"):
        measure(row(3), mask((0, 0, 0), shape=(2, 2, 2)))


def test_correlation_agrees_with_numpy_ignores_brightness_and_contrast_and_knows_a_negative(generator):
    image = torch.randn(4, 5, 6, generator=generator)
    inside = torch.rand(4, 5, 6, generator=generator) > 0.3
    assert ncc(image, 3 * image + 50, inside) == pytest.approx(1)
    assert ncc(image, -image, inside) == pytest.approx(-1)
    one, other = torch.randn(2, 4, 5, 6, generator=generator)
    inside = torch.rand(4, 5, 6, generator=generator) > 0.3
    one[~inside] = 1e6
    expected = np.corrcoef(one[inside].double().numpy(), other[inside].double().numpy())[0, 1]
    assert ncc(one, other, inside) == pytest.approx(expected, abs=1e-12)


def test_correlation_without_contrast_is_none_and_in_two_shapes_is_refused():
    image, everywhere = torch.arange(8.0).reshape(2, 2, 2), torch.ones(2, 2, 2, dtype=torch.bool)
    assert math.isnan(ncc(image, torch.ones(2, 2, 2), everywhere))
    assert math.isnan(ncc(image, image, ~everywhere))
    with pytest.raises(ValueError, match="one shape"):
        ncc(image, torch.ones(2, 2, 3), everywhere)
