"""What refinement makes small: by hand, by descent to known motions, and what must not matter."""

import math

import pytest
import torch
from support.problems import OBLIQUE, bowl, costs_of, noisy_costs, points_inside, stored_otherwise

from graphreg.core.grid import Grid, sample
from graphreg.core.records import CostVolume, Displacements, FeatureVolume, KeypointGraph, Keypoints
from graphreg.matching.graph import NearestNeighbours
from graphreg.refinement.descent import Descent, minimise
from graphreg.refinement.feature_difference import Comparison, FeatureDifference, bending, diffusion, linearised
from graphreg.refinement.keypoints import CostCubes

GRID = Grid((17, 19, 21), (2.0, 2.0, 2.0), (-30.0, 15.0, 200.0))
SHIFT_MM = torch.tensor([0.8, -0.5, 0.3], dtype=torch.float64)
WAVES = torch.tensor([[0.30, 0.05, 0.0], [0.0, 0.25, -0.1], [0.1, 0.0, 0.28], [0.2, -0.2, 0.15]], dtype=torch.float64)
COARSE = Comparison(control_mm=6.0, smoothness=1.0)


def waves(grid, shift_mm=None):
    """Four smooth features of some 20 mm wavelength, all moved by a shift; float64."""
    points_mm = grid.points_mm(WAVES) - (0 if shift_mm is None else shift_mm)
    return FeatureVolume(grid, torch.sin(points_mm @ WAVES.T).movedim(-1, 0).contiguous())


def middle(grid, margin=3):
    """Weights of 1 but near the border."""
    weights = torch.zeros(grid.shape, dtype=torch.float64)
    weights[margin:-margin, margin:-margin, margin:-margin] = 1
    return weights


def linear_motion(matrix, spacing_mm=3.0):
    """Displacements u = matrix @ x (3, 4, 5, 6) on an isotropic grid."""
    grid = Grid((4, 5, 6), (spacing_mm,) * 3)
    return (grid.points_mm(matrix) @ matrix.T).movedim(-1, 0)


# features


@pytest.mark.parametrize("gradient", ["interpolated", "linearised"])
def test_a_shift_of_the_moving_features_is_the_motion_found(gradient):
    # fixed f(x), moving m(x) = f(x - t): what is at x is found at x + t
    config = Comparison(control_mm=6.0, smoothness=1.0, gradient=gradient, points=2000)
    objective = FeatureDifference(waves(GRID), waves(GRID, SHIFT_MM), middle(GRID), config)
    descent = minimise(objective, objective.start(), Descent(iterations=80, rate_mm=0.1))
    field = objective.field(descent.parameters, GRID)
    inside = field.displacement_mm[:, middle(GRID) > 0].T
    assert (inside.mean(0) - SHIFT_MM).norm() < 0.05
    assert (inside - SHIFT_MM).norm(dim=1).mean() < 0.05
    assert descent.trace[-1] < 0.05 * descent.trace[0]


def test_at_the_start_nothing_moves_and_equal_features_cost_nothing():
    objective = FeatureDifference(waves(GRID), waves(GRID), middle(GRID))
    assert not objective.start().any()
    assert not objective.field(objective.start(), GRID).displacement_mm.any()
    assert objective(objective.start()).item() < 1e-20


@pytest.mark.parametrize("weight", [1.0, 0.2])
def test_the_difference_is_the_mean_over_features_and_weighted_voxels(weight):
    # squares of 1 and 4 in two features, mean 2.5, at half of the voxels; the others are equal and weigh one
    grid = Grid((4, 4, 4), (2.0, 2.0, 2.0))
    fixed, moving = torch.zeros(2, 4, 4, 4), torch.zeros(2, 4, 4, 4)
    moving[0, :2], moving[1, :2] = 1.0, -2.0
    weights = torch.ones(4, 4, 4)
    weights[:2] = weight
    objective = FeatureDifference(FeatureVolume(grid, fixed), FeatureVolume(grid, moving), weights)
    assert objective(objective.start()).item() == pytest.approx(2.5 * weight / (1 + weight), rel=1e-6)


def test_every_voxel_counts_on_average_where_points_are_drawn(generator):
    fixed, moving, weights = waves(GRID), waves(GRID, 3 * SHIFT_MM), middle(GRID)
    whole = FeatureDifference(fixed, moving, weights, COARSE)
    some = FeatureDifference(fixed, moving, weights, Comparison(control_mm=6.0, smoothness=1.0, points=500))
    start = whole.start()
    drawn = torch.stack([some(start, generator) for _ in range(50)])
    assert drawn.std() > 1e-4
    assert drawn.mean().item() == pytest.approx(whole(start).item(), rel=0.03)
    assert some(start) == some(start)


def test_voxels_without_weight_do_not_matter(generator):
    fixed, moving, weights = waves(GRID), waves(GRID, SHIFT_MM), middle(GRID)
    other = fixed.data + 5 * torch.randn(fixed.data.shape, generator=generator).double() * (weights == 0)
    parameters = torch.randn(FeatureDifference(fixed, moving, weights, COARSE).start().shape, generator=generator)
    one, two = (
        FeatureDifference(f, moving, weights, COARSE)(parameters.double()) for f in (fixed, FeatureVolume(GRID, other))
    )
    assert one == two


def bump(points_mm):
    """A motion of 1 mm that is gone some 12 mm from the middle of GRID."""
    centre = GRID.corners_mm().mean(0)
    return torch.exp(-((points_mm - centre) / 5).square().sum(-1) / 2)


@pytest.mark.parametrize("penalty", ["diffusion", "bending"])
@pytest.mark.parametrize("margin", [4, 5])
def test_the_penalty_does_not_depend_on_the_margin_around_the_lungs(penalty, margin):
    # margins of 8 and 10 mm on a control grid of 4 mm: the second one lies between the points of the narrow one
    config, values = Comparison(control_mm=4.0, penalty=penalty, smoothness=1.0), []
    for more in (0, margin):
        grid = GRID.cropped((-more,) * 3, (17 + 2 * more, 19 + 2 * more, 21 + 2 * more))
        weights = torch.zeros(grid.shape)
        weights[more + 3 : -more - 3, more + 3 : -more - 3, more + 3 : -more - 3] = 1
        nothing = FeatureVolume(grid, torch.zeros(1, *grid.shape, dtype=torch.float64))
        objective = FeatureDifference(nothing, nothing, weights, config)
        push = bump(objective.control.points_mm(SHIFT_MM))
        values.append(objective(torch.stack([push, 0 * push, 0 * push])).item())
    assert values[0] > 1e-5
    assert values[1] == pytest.approx(values[0], rel=0.05)


@pytest.mark.parametrize("spacing_mm", [(2.0, 2.0, 2.0), (1.0, 2.0, 4.0)])
def test_the_penalty_of_a_linear_motion_is_its_squared_slope_per_volume_of_lung(spacing_mm):
    # u_x = 0.1 x on a control grid of 1 mm, 41 x 37 x 33 points (x, y, z). Smoothed, it rises by 5/12 and 5/6 of that
    # over the two differences at either end of x and as before over the 36 between.
    nx, ny, nz = (round(length / step) + 1 for length, step in zip((40, 36, 32), spacing_mm, strict=True))
    grid = Grid((nz, ny, nx), spacing_mm)
    nothing = FeatureVolume(grid, torch.zeros(1, *grid.shape, dtype=torch.float64))
    config = Comparison(control_mm=1.0, penalty="diffusion", smoothness=3.0)
    objective = FeatureDifference(nothing, nothing, torch.ones(grid.shape), config)
    x = 0.1 * objective.control.points_mm(SHIFT_MM)[..., 0]
    differences = 37 * 33 * (36 + 2 * (5 / 12) ** 2 + 2 * (5 / 6) ** 2)
    expected = 3 * 0.01 * differences / (nx * ny * nz * 8)
    assert objective(torch.stack([x, 0 * x, 0 * x])).item() == pytest.approx(expected)


def test_diffusion_of_a_linear_motion_is_its_squared_slopes_at_every_difference():
    # 4 x 5 x 5 differences along x, 4 x 4 x 6 along y, 3 x 5 x 6 along z
    stretch = torch.diag(torch.tensor([0.1, 0.0, 0.0], dtype=torch.float64))
    assert diffusion(linear_motion(stretch), 3.0).item() == pytest.approx(100 * 0.1**2)
    shear = torch.tensor([[0.0, 0.2, 0.0], [0.0, 0.0, 0.3], [0.0, 0.0, 0.0]], dtype=torch.float64)
    assert diffusion(linear_motion(shear), 3.0).item() == pytest.approx(96 * 0.2**2 + 90 * 0.3**2)


def test_a_linear_motion_has_no_bending(generator):
    matrix = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    assert diffusion(linear_motion(matrix), 3.0) > 1
    assert bending(linear_motion(matrix), 3.0) < 1e-20


@pytest.mark.parametrize("spacing_mm", [1.0, 3.0])
def test_bending_is_the_squared_second_derivatives_the_mixed_ones_twice(spacing_mm):
    # a x^2 / 2 has the second derivative a, at 4 x 5 x 4 places; b x y has b, at 4 x 4 x 5, and counts twice
    x, y, _ = Grid((4, 5, 6), (spacing_mm,) * 3).points_mm(SHIFT_MM).unbind(-1)
    square, product = 0.3 * x**2 / 2, 0.2 * x * y
    assert bending(torch.stack([0 * x, square, 0 * x]), spacing_mm).item() == pytest.approx(80 * 0.3**2)
    assert bending(torch.stack([0 * x, 0 * x, product]), spacing_mm).item() == pytest.approx(2 * 80 * 0.2**2)


@pytest.mark.parametrize("penalty", ["diffusion", "bending"])
def test_the_gradient_is_that_of_the_value(penalty, generator):
    # displacements of some 0.2 mm, none of which ends where two voxels inverse_consistent
    grid = Grid((5, 6, 7), (2.0, 2.0, 2.0), (5.0, 0.0, -3.0))
    config = Comparison(control_mm=5.0, penalty=penalty)
    objective = FeatureDifference(waves(grid), waves(grid, SHIFT_MM), middle(grid, 1), config)
    parameters = 0.2 * torch.randn(objective.start().shape, generator=generator, dtype=torch.float64) + 0.3
    assert torch.autograd.gradcheck(objective, parameters.requires_grad_())


def test_a_field_on_other_axes_is_the_same_motion(generator):
    objective = FeatureDifference(waves(GRID), waves(GRID, SHIFT_MM), middle(GRID), COARSE)
    parameters = torch.randn(objective.start().shape, generator=generator, dtype=torch.float64)
    here = objective.field(parameters, GRID)
    for axes, flips in (((0, 1, 2), (1, 2)), ((2, 0, 1), (0,))):
        grid, stored = stored_otherwise(GRID, here.displacement_mm[0], axes, flips)
        assert torch.allclose(objective.field(parameters, grid).displacement_mm[0], stored, atol=1e-9)


def test_a_field_is_the_smoothed_control_grid_and_what_is_compared_moves_by_it(generator):
    # fixed features are those of the moving image at T(x), for T the field itself: nothing is left to pay
    objective = FeatureDifference(waves(GRID), waves(GRID), middle(GRID), COARSE)
    parameters = 0.7 * torch.randn(objective.start().shape, generator=generator, dtype=torch.float64)
    moved_mm = objective.field(parameters, GRID)(GRID.points_mm(WAVES))
    fixed = FeatureVolume(GRID, sample(waves(GRID).data, GRID, moved_mm))
    config = Comparison(control_mm=6.0, smoothness=0.0)
    assert FeatureDifference(fixed, waves(GRID), middle(GRID), config)(parameters) < 1e-12
    assert FeatureDifference(waves(GRID), waves(GRID), middle(GRID), config)(parameters) > 1e-4


def test_linearised_features_of_linear_data_have_their_value_and_slope(generator):
    slopes = torch.tensor([[0.5, -1.0, 2.0], [3.0, 0.0, 0.25]], dtype=torch.float64)
    data = (GRID.points_mm(slopes) @ slopes.T).movedim(-1, 0)
    points_mm = GRID.corners_mm().mean(0) + 4 * torch.rand(30, 3, generator=generator).double() - 2
    points_mm.requires_grad_()
    values = linearised(data, GRID, points_mm, 0.7, generator)
    assert torch.allclose(values, slopes @ points_mm.T, atol=1e-9)
    for value, slope in zip(values, slopes, strict=True):
        (gradient,) = torch.autograd.grad(value.sum(), points_mm, retain_graph=True)
        assert torch.allclose(gradient, slope.expand(30, 3), atol=1e-9)


def test_linearised_features_have_the_values_of_interpolation_whatever_the_samples(generator):
    moving, points_mm = waves(OBLIQUE).data, points_inside(OBLIQUE, 50, generator)
    values = [linearised(moving, OBLIQUE, points_mm, 2.0, g) for g in (generator, generator, None)]
    assert all(torch.allclose(v, sample(moving, OBLIQUE, points_mm), atol=1e-12) for v in values)


def test_linearised_features_see_what_interpolation_cannot():
    # a bright voxel, and a point in the next but one: between voxels that are both dark there is no slope
    data = torch.zeros(1, 9, 9, 9, dtype=torch.float64)
    data[0, 4, 4, 6] = 1.0
    point_mm = torch.tensor([[4.6, 4.0, 4.0]], dtype=torch.float64, requires_grad=True)
    grid = Grid((9, 9, 9), (1.0, 1.0, 1.0))
    (near,) = torch.autograd.grad(sample(data, grid, point_mm).sum(), point_mm)
    (wide,) = torch.autograd.grad(linearised(data, grid, point_mm, 1.0, None).sum(), point_mm)
    assert near[0, 0] == 0 < wide[0, 0]


@pytest.mark.parametrize(
    ("moving", "weights", "said"),
    [
        (waves(GRID.cropped((1, 0, 0), GRID.shape)), middle(GRID), "Both features need one grid"),
        (FeatureVolume(GRID, waves(GRID).data[:3]), middle(GRID), "of channels, got 4 fixed and 3 moving"),
        (waves(GRID), middle(GRID)[1:], "Weights .17, 19, 21., not all 0, needed, got .16, 19, 21."),
        (waves(GRID), 0 * middle(GRID), "not all 0"),
    ],
)
def test_features_and_weights_that_do_not_fit_are_refused(moving, weights, said):
    with pytest.raises(ValueError, match=said):
        FeatureDifference(waves(GRID), moving, weights)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"penalty": "elastic"}, "penalty must be one of diffusion, bending, got 'elastic'"),
        ({"gradient": "exact"}, "gradient must be one of interpolated, linearised, got 'exact'"),
        ({"control_mm": 0.0}, "control_mm, points and jitter_mm above 0"),
        ({"points": 0}, "above 0"),
        ({"jitter_mm": math.nan}, "above 0"),
        ({"smoothness": -1.0}, "smoothness of at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        Comparison(**wrong)


# cost cubes

STEP_MM = 3.0


def still(keypoints, confidence=None):
    """No displacement, of sure keypoints."""
    points_mm = keypoints.points_mm
    return Displacements(
        keypoints, torch.zeros_like(points_mm), points_mm.new_ones(len(points_mm)) if confidence is None else confidence
    )


def test_cubes_start_at_the_displacements_that_were_found(generator):
    costs, graph = noisy_costs(generator)
    vectors_mm = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    found = Displacements(costs.keypoints, vectors_mm, torch.ones(60, dtype=torch.float64))
    start = CostCubes(costs, graph, found).start()
    assert torch.equal(start, vectors_mm) and start is not vectors_mm


def test_two_keypoints_worked_by_hand():
    # The cost is 0.05 (v / 3 mm)^2 at labels: 0 at v = 0 and 0.05 at 3 mm, hence 0.025 half way along x. Confidences
    # of 1 and 0.25 make it 0.2 of that for the second alone; 10 mm apart, 1.5^2 / 10^2 times 0.4 is added.
    points_mm = torch.tensor([[0.0, 0.0, 0.0], [0.0, 10.0, 0.0]], dtype=torch.float64)
    costs, graph = costs_of(bowl(0 * points_mm), points_mm, neighbours=1)
    found = still(costs.keypoints, torch.tensor([1.0, 0.25], dtype=torch.float64))
    objective = CostCubes(costs, graph, found, 0.4)
    moved_mm = torch.tensor([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0]], dtype=torch.float64)
    assert objective(moved_mm).item() == pytest.approx(0.2 * 0.025 + 0.4 * 0.0225)


def test_displacements_are_read_in_the_order_x_y_z():
    points_mm = torch.zeros(1, 3, dtype=torch.float64)
    costs, _ = costs_of(bowl(points_mm), points_mm, neighbours=0)
    costs.costs[0, 4 + 3, 4 - 1, 4 + 2] = -1  # label (z, y, x): 6 mm along x, -3 along y, 9 along z
    pair = Keypoints(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64))
    twice = CostVolume(pair, costs.labels, costs.costs.expand(2, -1, -1, -1))
    objective = CostCubes(twice, NearestNeighbours(neighbours=1)(pair), still(pair))
    assert objective(torch.tensor([[6.0, -3.0, 9.0]] * 2).double()).item() == pytest.approx(-1)


def test_the_least_of_costs_between_labels_is_found_to_the_nearest_kink():
    # linear between labels, a parabola has its least at the label next to its own, as far as half a step away along
    # each axis: no better can be had of one keypoint
    centre_mm = torch.tensor([[3.9, -2.4, 0.6]], dtype=torch.float64)
    nearest_mm = torch.tensor([[3.0, -3.0, 0.0]], dtype=torch.float64)
    points_mm = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]], dtype=torch.float64)
    costs, graph = costs_of(bowl(centre_mm.expand(2, 3)), points_mm, neighbours=1)
    objective = CostCubes(costs, graph, still(costs.keypoints))
    found = minimise(objective, objective.start(), Descent(iterations=150, rate_mm=0.15))
    assert (found.parameters - nearest_mm).abs().max() < 0.1 * STEP_MM


def test_a_symmetric_least_half_way_between_labels_is_left_undecided_and_smoothness_decides():
    # costs of 0 and 1 steps are equal about a centre of half a step, hence flat between: the neighbours' mean wins
    points_mm = torch.tensor([[0.0, 0.0, 0.0], [6.0, 0.0, 0.0], [0.0, 6.0, 0.0]], dtype=torch.float64)
    centres_mm = torch.tensor([[1.5, 0.0, 0.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0]], dtype=torch.float64)
    costs, graph = costs_of(bowl(centres_mm), points_mm, neighbours=2)
    start = Displacements(costs.keypoints, centres_mm * torch.tensor([0.3, 1, 1])[:, None], torch.ones(3).double())
    objective = CostCubes(costs, graph, start, 0.01)
    found = minimise(objective, objective.start(), Descent(iterations=200, rate_mm=0.05))
    assert (found.parameters - centres_mm).norm(dim=1).max() < 0.1 * STEP_MM


def test_a_keypoint_without_confidence_follows_its_neighbours():
    # its own cube pulls to the other side
    points_mm = 8 * torch.tensor([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]).double()
    true_mm = torch.tensor([6.0, -3.0, 0.0], dtype=torch.float64)
    centres_mm = true_mm * torch.tensor([-1.0, 1.0, 1.0, 1.0, 1.0]).double()[:, None]
    costs, graph = costs_of(bowl(centres_mm), points_mm, neighbours=4)
    for sure, expected_mm in ((1e-6, true_mm), (1.0, -true_mm)):
        confidence = torch.tensor([sure, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
        objective = CostCubes(costs, graph, still(costs.keypoints, confidence), 0.01)
        found = minimise(objective, objective.start(), Descent(iterations=250, rate_mm=0.1))
        assert (found.parameters[0] - expected_mm).norm() < 0.3
        assert (found.parameters[1:] - true_mm).norm(dim=1).max() < 0.3


def test_the_gradient_of_keypoints_follows_their_order(generator):
    costs, graph = noisy_costs(generator, 20)
    confidence = 0.1 + 0.9 * torch.rand(20, generator=generator, dtype=torch.float64)
    parameters = 4 * torch.randn(20, 3, generator=generator, dtype=torch.float64)
    order = torch.randperm(20, generator=generator)
    keypoints = Keypoints(costs.keypoints.points_mm[order])
    shuffled = CostVolume(keypoints, costs.labels, costs.costs[order])
    regraph = KeypointGraph(keypoints, order.argsort()[graph.edge_index])
    config = 0.5
    gradients = []
    for objective, where in (
        (CostCubes(costs, graph, still(costs.keypoints, confidence), config), parameters),
        (CostCubes(shuffled, regraph, still(keypoints, confidence[order]), config), parameters[order]),
    ):
        where = where.clone().requires_grad_()
        gradients.append(torch.autograd.grad(objective(where), where)[0])
    assert gradients[0].norm() > 1e-3
    assert torch.allclose(gradients[1], gradients[0][order], atol=1e-12)


def test_the_gradient_of_cubes_is_that_of_the_value(generator):
    costs, graph = noisy_costs(generator, 10)
    parameters = 3 * torch.randn(10, 3, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(CostCubes(costs, graph, still(costs.keypoints)), parameters.requires_grad_())


def test_keypoints_without_neighbours_descend_in_their_own_cubes_beyond_which_costs_go_on_as_at_the_border():
    points_mm = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]], dtype=torch.float64)
    costs, graph = costs_of(bowl(points_mm.new_tensor([[3.0, 0.0, 0.0], [0.0, -3.0, 0.0]])), points_mm, neighbours=0)
    objective = CostCubes(costs, graph, still(costs.keypoints))
    assert objective(points_mm.new_tensor([[3.0, 0.0, 0.0], [0.0, -3.0, 0.0]])).item() == pytest.approx(0, abs=1e-12)
    points_mm = torch.tensor([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]], dtype=torch.float64)
    costs, graph = costs_of(bowl(0 * points_mm), points_mm, neighbours=1)
    objective = CostCubes(costs, graph, still(costs.keypoints))
    near, far = (objective(torch.tensor([[x, 0.0, 0.0]] * 2).double()).item() for x in (12.0, 40.0))
    assert far == pytest.approx(near) == pytest.approx(0.05 * 4**2)


def test_records_of_other_counts_are_refused(generator):
    costs, graph = noisy_costs(generator, 12)
    with pytest.raises(ValueError, match="same keypoints needed, got 12, 12 and 11"):
        CostCubes(costs, graph, still(Keypoints(costs.keypoints.points_mm[:11])))
