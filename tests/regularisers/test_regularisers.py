"""What every regulariser owes: the soft minimum, sub-label displacements, axes, confidence, the graph."""

from dataclasses import replace

import pytest
import torch
from support.problems import bowl, costs_of, noisy_costs

from graphreg.core.cubes import confidence, label_grid, soft_argmin
from graphreg.core.grid import Grid
from graphreg.core.records import CostVolume, KeypointGraph, Keypoints
from graphreg.matching.graph import NearestNeighbours
from graphreg.presets.lung_ct import INHALE_EXHALE
from graphreg.regularisers import REGULARISERS, BeliefPropagation, Independent, MeanField

COUPLED = [
    BeliefPropagation(data_weight=40.0, slack_mm=2.0),
    MeanField(data_weight=40.0, couplings=(0.003, 0.01, 0.03, 0.1, 0.3)),
]
ALL = [*COUPLED, Independent(data_weight=40.0)]
TRUTH_MM = torch.tensor([4.0, -2.5, 1.0], dtype=torch.float64)  # between the labels, which are 3 mm apart


def name_of(regulariser):
    return type(regulariser).__name__


def scattered(generator, count=40):
    return 15 * torch.randn(count, 3, generator=generator, dtype=torch.float64)


def test_soft_argmin_agrees_with_the_sums_over_all_labels(generator):
    labels = label_grid(6.0, 1.5)
    energies = torch.randn(4, 9, 9, 9, generator=generator, dtype=torch.float64)
    mean, variance = soft_argmin(energies, labels.spacing_mm[0])
    offsets_mm = labels.points_mm(energies).reshape(-1, 3)
    for n in range(4):
        q = torch.exp(-energies[n].flatten())
        q /= q.sum()
        expected = sum(weight * offset for weight, offset in zip(q, offsets_mm, strict=True))
        spread = sum(weight * (offset - expected).square().sum() for weight, offset in zip(q, offsets_mm, strict=True))
        assert torch.allclose(mean[n], expected, atol=1e-12)
        assert variance[n].item() == pytest.approx(spread.item(), abs=1e-9)


def test_soft_argmin_of_two_equal_labels_lies_between_them_and_bears_energies_of_any_size():
    # by hand: labels at (x, y, z) = (0, 0, 0) and (4, 0, -2) mm: mean (2, 0, -1), variance |(2, 0, -1)|^2 = 5
    energies = torch.full((1, 5, 5, 5), 1000.0)
    energies[0, 2, 2, 2] = energies[0, 1, 2, 4] = 0
    mean, variance = soft_argmin(energies, 2.0)
    assert mean.tolist() == [[2.0, 0.0, -1.0]]
    assert variance.item() == pytest.approx(5)
    energies = torch.full((1, 3, 3, 3), 1e30)
    energies[0, 1, 1, 1] = -1e30
    mean, variance = soft_argmin(energies, 2.0)
    assert mean.tolist() == [[0, 0, 0]] and variance.item() == 0


@pytest.mark.parametrize(("contrast", "dtype"), [(0.2, torch.float64), (0.2, torch.float32), (3.0, torch.float32)])
def test_mean_field_agrees_with_the_sums_over_all_labels(contrast, dtype, generator):
    # the prior of a label some 40 mm off the neighbours is exp(-160), the data's up to exp(-600)
    keypoints = Keypoints(scattered(generator, 12).to(dtype))
    labels = label_grid(24.0, 3.0)
    values = contrast * torch.rand(12, *labels.shape, generator=generator, dtype=torch.float64)
    graph = NearestNeighbours(neighbours=4)(keypoints)
    regulariser = MeanField(data_weight=200.0, couplings=(0.01, 0.1))
    found = regulariser(CostVolume(keypoints, labels, values.to(dtype)), graph)
    offsets_mm = labels.points_mm(values).reshape(-1, 3)
    prior = torch.zeros(12, len(offsets_mm), dtype=torch.float64)
    for coupling in (*regulariser.couplings, None):
        q = torch.softmax(-200 * values.flatten(1) - prior, 1)
        mean = q @ offsets_mm
        variance = q @ offsets_mm.square().sum(1) - mean.square().sum(1)
        if coupling:
            certainty = 1 / (1 + variance)
            for n in range(12):
                heard = [n, *graph.edge_index[0, graph.edge_index[1] == n].tolist()]
                centre = (certainty[heard, None] * mean[heard]).sum(0) / certainty[heard].sum()
                prior[n] = coupling * (offsets_mm - centre).square().sum(1)
    assert (found.vectors_mm - mean).abs().max() < (1e-6 if dtype == torch.float64 else 1e-3)


def test_confidence_is_one_over_one_plus_the_variance_in_squared_steps():
    labels = Grid((3, 3, 3), (2.0, 2.0, 2.0), (-2.0, -2.0, -2.0))
    # by hand: 4 mm^2 are one squared step, 12 mm^2 are three
    assert confidence(torch.tensor([0.0, 4.0, 12.0]), labels.spacing_mm[0]).tolist() == [1.0, 0.5, 0.25]


@pytest.mark.parametrize("regulariser", ALL, ids=name_of)
def test_the_label_of_least_cost_is_read_in_x_y_z_and_a_motion_by_a_label_that_all_share_is_recovered(
    regulariser, generator
):
    # by hand: of nine labels per axis the fifth is zero; (z, y, x) = (5, 2, 4) stands for (+1, -2, 0) steps of 3 mm
    points_mm = scattered(generator)
    costs = torch.ones(40, 9, 9, 9, dtype=torch.float64) * 10
    costs[:, 5, 2, 4] = 0
    found = regulariser(*costs_of(costs, points_mm))
    assert torch.allclose(found.vectors_mm, torch.tensor([0.0, -6.0, 3.0]).double().expand(40, 3), atol=1e-3)
    motion_mm = torch.tensor([6.0, -3.0, 0.0], dtype=torch.float64)
    costs = bowl(motion_mm.expand(40, 3), depth=0.5 / regulariser.data_weight)
    found = regulariser(*costs_of(costs, scattered(generator)))
    assert (found.vectors_mm - motion_mm).norm(dim=1).max() < 0.05


@pytest.mark.parametrize(
    ("regulariser", "tolerance_mm"),
    # Of labels 3 mm apart, mean field reads the truth between. Min-sum messages speak of labels alone: together
    # many keypoints come to share the nearest one, here 1.5 mm off.
    list(zip(ALL, (1.55, 0.5, 0.05), strict=True)),
)
def test_a_motion_between_the_labels_that_all_share_is_recovered(regulariser, tolerance_mm, generator):
    costs = bowl(TRUTH_MM.expand(40, 3), depth=0.5 / regulariser.data_weight)
    found = regulariser(*costs_of(costs, scattered(generator)))
    assert (found.vectors_mm - TRUTH_MM).norm(dim=1).max() < tolerance_mm


@pytest.mark.parametrize("regulariser", ALL, ids=name_of)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_problem_has_the_mirrored_solution(regulariser, axis, generator):
    costs, graph = noisy_costs(generator)
    sign = torch.ones(3, dtype=torch.float64)
    sign[axis] = -1
    mirrored, regraphed = costs_of(costs.costs.flip(3 - axis), costs.keypoints.points_mm * sign)
    here, there = regulariser(costs, graph), regulariser(mirrored, regraphed)
    assert torch.allclose(there.vectors_mm, here.vectors_mm * sign, atol=1e-6)


@pytest.mark.parametrize("regulariser", ALL, ids=name_of)
def test_confidence_lies_above_zero_and_up_to_one_grows_with_the_contrast_and_follows_a_relabelling(
    regulariser, generator
):
    costs, graph = noisy_costs(generator)
    weak, strong = (regulariser(replace(costs, costs=k * costs.costs), graph).confidence for k in (0.3, 3.0))
    for found in (weak, strong):
        assert found.min() > 0 and found.max() <= 1
    assert strong.mean() > weak.mean()
    costs, graph = noisy_costs(generator)
    order = torch.randperm(60, generator=generator)
    relabelled, regraphed = costs_of(costs.costs[order], costs.keypoints.points_mm[order])
    here, there = regulariser(costs, graph), regulariser(relabelled, regraphed)
    assert torch.allclose(there.vectors_mm, here.vectors_mm[order], atol=1e-6)
    assert torch.allclose(there.confidence, here.confidence[order], atol=1e-6)


def with_an_outlier(generator):
    """All point to TRUTH_MM, but number 7 prefers a label 9 mm away and has the truth as second choice."""
    points_mm = scattered(generator)
    costs = bowl(TRUTH_MM.expand(40, 3), depth=0.02).clamp_max(0.2)
    wrong = bowl((TRUTH_MM + torch.tensor([-9.0, 0.0, 0.0])).expand(40, 3), depth=0.02).clamp_max(0.2)
    costs[7] = torch.minimum(costs[7], wrong[7] - 0.02)
    return costs_of(costs, points_mm)


@pytest.mark.parametrize("regulariser", COUPLED, ids=name_of)
def test_an_outlier_or_a_keypoint_without_contrast_follows_its_neighbours(regulariser, generator):
    costs, graph = with_an_outlier(generator)
    alone = costs.offsets_mm[costs.costs[7].argmin()]
    assert (alone - TRUTH_MM).norm() > 7  # what it would choose without them
    assert (regulariser(costs, graph).vectors_mm[7] - TRUTH_MM).norm() < 1.5  # half a label step
    costs, graph = costs_of(bowl(TRUTH_MM.expand(40, 3), depth=0.2), scattered(generator))
    costs.costs[3] = 0.7
    found = regulariser(costs, graph)
    assert (found.vectors_mm[3] - TRUTH_MM).norm() < 1.5  # half a label step
    assert found.confidence[3] < found.confidence[torch.arange(40) != 3].min()


def test_without_regularisation_an_outlier_stays_one_and_the_graph_says_nothing(generator):
    costs, graph = with_an_outlier(generator)
    assert (Independent()(costs, graph).vectors_mm[7] - TRUTH_MM).norm() > 5
    costs, graph = noisy_costs(generator)
    other = KeypointGraph(graph.keypoints, graph.edge_index[:, :30])
    assert torch.equal(Independent()(costs, graph).vectors_mm, Independent()(costs, other).vectors_mm)


@pytest.mark.parametrize("regulariser", COUPLED, ids=name_of)
def test_neighbours_bring_noisy_keypoints_nearer_to_a_smooth_motion(regulariser, generator):
    costs, graph = noisy_costs(generator)
    points_mm = costs.keypoints.points_mm
    truth = points_mm.roll(1, 1) * 0.1 + points_mm.new_tensor([3.0, -2.0, 1.0])
    alone = costs.offsets_mm[costs.costs.flatten(1).argmin(1)]
    together = regulariser(costs, graph).vectors_mm
    assert (together - truth).norm(dim=1).mean() < 0.7 * (alone - truth).norm(dim=1).mean()


@pytest.mark.parametrize("regulariser", ALL, ids=name_of)
def test_parts_of_the_graph_that_no_edge_joins_do_not_hear_one_another(regulariser, generator):
    points_mm = scattered(generator, 30)
    both = torch.cat((points_mm, points_mm + 500))
    other_mm = torch.tensor([-5.0, 5.0, 0.0]).double()
    costs = torch.cat((bowl(TRUTH_MM.expand(30, 3)), bowl(other_mm.expand(30, 3))))
    found = regulariser(*costs_of(costs, both)).vectors_mm
    alone = regulariser(*costs_of(costs[:30], points_mm)).vectors_mm
    assert torch.allclose(found[:30], alone, atol=1e-6)


@pytest.mark.parametrize("regulariser", ALL, ids=name_of)
def test_the_costs_are_left_as_they_were_and_float32_stays_float32(regulariser, generator):
    costs, graph = noisy_costs(generator)
    keypoints = Keypoints(costs.keypoints.points_mm.float())
    single = CostVolume(keypoints, costs.labels, costs.costs.float())
    before = single.costs.clone()
    found = regulariser(single, KeypointGraph(keypoints, graph.edge_index))
    assert torch.equal(single.costs, before)
    assert found.vectors_mm.dtype == found.confidence.dtype == torch.float32
    assert torch.allclose(found.vectors_mm.double(), regulariser(costs, graph).vectors_mm, atol=1e-2)


def test_each_name_has_a_regulariser_at_every_level():
    for level in INHALE_EXHALE.levels:
        kinds = {name_of(level.with_regulariser(name).regulariser) for name in REGULARISERS}
        assert kinds == {"GraphRegNet", "BeliefPropagation", "MeanField", "Independent"}
