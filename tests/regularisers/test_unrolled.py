"""The unrolled network: what it is before it learns, what it must not depend on, and each of its parts by an oracle."""

from typing import Any

import numpy as np
import pytest
import torch
from support.problems import MATRIX, OFFSET_MM, costs_of, noisy_costs
from torch import Tensor

from graphreg.core.cubes import expectation, label_grid
from graphreg.regularisers import MeanField
from graphreg.regularisers.unrolled import (
    DATA_WEIGHT,
    LOOKS,
    Neighbours,
    Problem,
    State,
    UnrolledNet,
    around,
    consensus,
)

STEP_MM = 3.0
COUNT = 60
COUPLINGS = (0.01, 0.03, 0.1)


def arbitrary(module, generator, size=0.2):
    """The module in float64, its weights drawn by the generator; step sizes and couplings stay near their own."""
    module = module.double()
    with torch.no_grad():
        for p in module.parameters():
            drawn = size * torch.randn(p.shape, generator=generator, dtype=p.dtype)
            p.copy_(drawn + p if p.ndim == 0 else drawn)
    return module


@pytest.fixture
def problem(generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy costs of a smooth motion, points (60, 3) in mm and their edges; float64."""
    costs, graph = noisy_costs(generator, COUNT)
    return costs.costs, costs.keypoints.points_mm, graph.edge_index


@pytest.fixture
def network(generator) -> UnrolledNet:
    """A network with arbitrary weights; float64."""
    return arbitrary(UnrolledNet(COUPLINGS, features=8), generator)


def agree(one, other):
    """Whether vectors agree to 1e-6 mm, confidences to 1e-7."""
    return torch.allclose(one[0], other[0], rtol=0, atol=1e-6) and torch.allclose(one[1], other[1], rtol=0, atol=1e-7)


# what it must not depend on


def test_the_network_follows_a_relabelling_of_keypoints(problem, network, generator):
    costs, points_mm, edges = problem
    order = torch.randperm(COUNT, generator=generator)
    here, there = network(*problem, STEP_MM), network(costs[order], points_mm[order], order.argsort()[edges], STEP_MM)
    assert agree(there, [part[order] for part in here[:2]])
    assert not agree(there, here)


def test_moving_or_scaling_the_world_or_shuffling_the_edges_changes_nothing(problem, network, generator):
    costs, points_mm, edges = problem
    moved_mm = points_mm + points_mm.new_tensor([120.0, -80.0, -300.0])
    assert agree(network(costs, moved_mm, edges, STEP_MM), network(*problem, STEP_MM))
    costs, points_mm, edges = problem
    assert agree(network(costs, 2.5 * points_mm, edges, STEP_MM), network(*problem, STEP_MM))
    costs, points_mm, edges = problem
    shuffled = edges[:, torch.randperm(edges.shape[1], generator=generator)]
    assert agree(network(costs, points_mm, shuffled, STEP_MM), network(*problem, STEP_MM))


def test_what_is_added_to_all_displacements_alike_is_added_to_those_found(generator):
    # clear minima away from the border, so that a cube rolled by a label holds the same costs around them
    points_mm = 15 * torch.randn(20, 3, generator=generator, dtype=torch.float64)
    costs = torch.full((20, 13, 13, 13), 0.5, dtype=torch.float64)
    costs[:, 5:8, 5:8, 5:8] = 0.1 * torch.rand(20, 3, 3, 3, generator=generator, dtype=torch.float64)
    (cubes, graph), net = costs_of(costs, points_mm, radius_mm=18.0), arbitrary(UnrolledNet(COUPLINGS, 8), generator)
    rolled = costs.roll((1, -2, 2), (1, 2, 3))  # by hand: +1 in z, -2 in y, +2 in x
    here, there = (net(c, points_mm, graph.edge_index, STEP_MM) for c in (cubes.costs, rolled))
    expected = here.vectors_mm + STEP_MM * points_mm.new_tensor([2.0, -2.0, 1.0])
    assert (there.vectors_mm - expected).abs().max() < 1e-3


def test_a_keypoint_without_neighbours_decides_alone(problem, network):
    costs, points_mm, edges = problem
    apart = network(costs, points_mm, edges[:, :0], STEP_MM, beliefs=True)
    assert all(bool(part.isfinite().all()) for part in apart)
    for n in (0, 7):
        alone = network(costs[n : n + 1], points_mm[n : n + 1], edges[:, :0], STEP_MM)
        assert agree([part[n : n + 1] for part in apart[:2]], alone)
    among = network(costs, points_mm, edges[:, edges[1] != 7], STEP_MM)
    assert agree([part[7:8] for part in among[:2]], alone)


# before anything is learned


@pytest.mark.parametrize(("affine", "low_mm", "high_mm"), [(False, 0.0, 0.005), (True, 0.1, 1.0)])
def test_before_it_learns_the_network_is_mean_field_but_for_the_affine_part(affine, low_mm, high_mm, generator):
    costs, graph = noisy_costs(generator, COUNT)
    net = UnrolledNet(COUPLINGS).double()
    with torch.no_grad():
        for bias in (p for name, p in net.named_parameters() if name.endswith("trust.2.bias")):
            bias[1] = 0 if affine else 6  # log stiffness 8: affine parts of some exp(-8) are left
    found = net(costs.costs, costs.keypoints.points_mm, graph.edge_index, STEP_MM).vectors_mm
    plain = MeanField(data_weight=DATA_WEIGHT, couplings=COUPLINGS)(costs, graph).vectors_mm
    assert low_mm <= (found - plain).norm(dim=1).max() < high_mm
    assert plain.norm(dim=1).mean() > 3


def test_before_it_learns_beliefs_sum_to_one_and_their_mean_is_the_displacement(problem):
    found = UnrolledNet(COUPLINGS).double()(*problem, STEP_MM, beliefs=True)
    offsets_mm = label_grid(12.0, STEP_MM).points_mm(problem[0]).reshape(-1, 3)
    assert torch.allclose(found.beliefs.sum((1, 2, 3)), torch.ones(COUNT).double(), atol=1e-12)
    assert (found.beliefs.flatten(1) @ offsets_mm - found.vectors_mm).abs().max() < 1e-9


def test_beliefs_are_given_where_they_are_asked_for_and_each_keypoint_hears_the_others(problem, network):
    without, along = network(*problem, STEP_MM), network(*problem, STEP_MM, beliefs=True)
    assert without.beliefs is None and along.beliefs.shape == problem[0].shape
    assert torch.equal(without.vectors_mm, along.vectors_mm) and torch.equal(without.confidence, along.confidence)
    costs, points_mm, edges = problem
    here, there = network(*problem, STEP_MM), network(costs, points_mm, edges[:, edges[1] != 3], STEP_MM)
    assert (here.vectors_mm[3] - there.vectors_mm[3]).norm() > 1e-3


# consensus


def votes_of(state, places, edges):
    neighbours: Any = Neighbours  # which has methods that torch-geometric calls abstract and never asks for
    costs = torch.zeros(len(places), 5, 5, 5)
    return neighbours(6).double()(state, Problem(costs, torch.zeros(len(places)), places, edges, STEP_MM))[1].detach()


@pytest.fixture
def voting(generator):
    """Votes (8, 25) of a small graph before anything is learned, and what they are made of."""
    count = 8
    edges = torch.tensor([(j, i) for i in range(count) for j in range(count) if i != j and (i + 2 * j) % 5]).T

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    places, mean, variance = draw(count, 3), 4 * draw(count, 3), 3 * draw(count).square()
    state = State(draw(count, 6), draw(count), draw(count), draw(count, 3), mean, variance)
    return votes_of(state, places, edges), edges, places, mean, variance


@pytest.mark.parametrize("stiffness", [0.01, 1.0, 30.0])
def test_consensus_is_a_weighted_ridge_regression(voting, stiffness):
    votes, edges, places, mean, variance = voting
    self_vote = torch.linspace(0.2, 3.0, 8).double()
    found = consensus(votes, self_vote, torch.full((8,), stiffness, dtype=torch.float64))
    for i in range(8):
        source = edges[0, edges[1] == i]
        weight = torch.cat((1 / (1 + variance[source]), self_vote[i : i + 1]))
        x = torch.cat((places[source] - places[i], torch.zeros(1, 3))).numpy()
        y = torch.cat((mean[source] - mean[i], torch.zeros(1, 3))).numpy()
        root = (weight / weight.sum()).sqrt().numpy()[:, None]  # the ridge is for weights that sum to one
        rows = np.vstack((root * np.hstack((np.ones((len(x), 1)), x)), stiffness**0.5 * np.eye(4)[1:]))
        oracle = np.linalg.lstsq(rows, np.vstack((root * y, np.zeros((3, 3)))), rcond=None)[0][0]
        assert np.abs(found[i].numpy() - oracle).max() < 1e-9


def test_consensus_of_rigid_stiffness_is_the_weighted_mean(voting):
    votes, edges, _, mean, variance = voting
    self_vote = torch.linspace(0.2, 3.0, 8).double()
    found = consensus(votes, self_vote, torch.full((8,), 1e12).double())
    for i in range(8):
        source = edges[0, edges[1] == i]
        weight = 1 / (1 + variance[source])
        oracle = (weight[:, None] * (mean[source] - mean[i])).sum(0) / (weight.sum() + self_vote[i])
        assert (found[i] - oracle).abs().max() < 1e-9


def test_consensus_of_no_stiffness_follows_an_affine_motion_exactly(voting):
    _, edges, places, _, variance = voting
    mean = places @ MATRIX.T + OFFSET_MM
    mean[0] += 5  # the centre itself is wrong, and has next to no vote
    nothing = torch.zeros(8).double()
    state = State(torch.zeros(8, 6).double(), nothing, nothing, mean, mean, variance)
    little = torch.full((8,), 1e-12).double()
    found = mean + consensus(votes_of(state, places, edges), little, little)
    assert (found[0] - (MATRIX @ places[0] + OFFSET_MM)).abs().max() < 1e-6


# sums over labels


def test_expectation_is_the_sum_over_all_labels_and_bears_a_centre_far_beyond_them(generator):
    likelihood = torch.rand(5, 7, 7, 7, generator=generator, dtype=torch.float64)
    coupling = torch.tensor([0.0, 0.01, 0.1, 1.0, 30.0]).double()
    centre_mm = 4 * torch.randn(5, 3, generator=generator, dtype=torch.float64)
    mean, variance, _ = expectation(likelihood, STEP_MM, coupling, centre_mm)
    offsets_mm = label_grid(9.0, STEP_MM).points_mm(likelihood).reshape(-1, 3)
    for n in range(5):
        q = likelihood[n].flatten() * torch.exp(-coupling[n] * (offsets_mm - centre_mm[n]).square().sum(1))
        q = q / q.sum()
        expected = (q[:, None] * offsets_mm).sum(0)
        spread = (q * (offsets_mm - expected).square().sum(1)).sum()
        assert (mean[n] - expected).abs().max() < 1e-9
        assert (variance[n] - spread).abs() < 1e-9
    likelihood = torch.ones(1, 3, 3, 3)
    mean, variance, _ = expectation(likelihood, 2.0, torch.tensor([1e3]), torch.tensor([[500.0, -500.0, 0.0]]))
    assert mean.tolist() == [[2.0, -2.0, 0.0]] and variance.item() < 1e-6


def test_costs_are_looked_up_in_x_y_z_linear_between_labels_and_beyond_them_those_of_the_border():
    # by hand: cost 100 z + 10 y + x at index (z, y, x) of 5 labels per axis; displacement (1, 0, -1) in (x, y, z) is
    # index (1, 2, 3). Around it x varies slowest, z fastest
    z, y, x = torch.meshgrid(*[torch.arange(5.0)] * 3, indexing="ij")
    looks = around((100 * z + 10 * y + x)[None], torch.tensor([[1.0, 0.0, -1.0]]))
    assert looks.shape == (1, LOOKS)
    assert looks[0, [13, 0, 1, 3, 9, 26]].round(decimals=3).tolist() == [123, 12, 112, 22, 13, 234]
    z, y, x = torch.meshgrid(*[torch.arange(5.0).double()] * 3, indexing="ij")
    where = torch.tensor([[0.25, -0.5, 0.75], [2.0, 0.0, 0.0]]).double()
    looks = around((100 * z + 10 * y + x).expand(2, 5, 5, 5), where)
    assert looks[0, 13].item() == pytest.approx(100 * 2.75 + 10 * 1.5 + 2.25)
    assert looks[1, 22].item() == pytest.approx(looks[1, 13].item()) == pytest.approx(224)


# learning


def test_the_gradient_reaches_every_parameter(problem, network):
    found = network(*problem, STEP_MM)
    (found.vectors_mm.square().sum() + found.confidence.sum()).backward()
    sizes = {name: p.grad.abs().max().item() for name, p in network.named_parameters()}
    assert min(sizes.values()) > 1e-7, sizes


def test_the_gradient_of_the_costs_is_that_of_finite_differences(problem, generator):
    costs, points_mm, edges = problem
    net = arbitrary(UnrolledNet((0.03, 0.1), 4), generator)
    few = edges[:, (edges < 5).all(0)]

    def call(extra):
        cubes = costs[:5, 2:7, 2:7, 2:7] + 0.1 * extra[:, None, None, None] * torch.linspace(-1, 1, 5).double()
        return net(cubes, points_mm[:5], few, STEP_MM)[:2]

    extra = torch.randn(5, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(call, (extra,), eps=1e-6, atol=1e-4)


def test_confidence_lies_between_zero_and_one_and_vectors_within_half_a_step_of_the_cube(problem, generator):
    found = arbitrary(UnrolledNet(COUPLINGS, 8), generator, 2.0)(*problem, STEP_MM)
    assert found.confidence.min() > 0 and found.confidence.max() <= 1
    assert found.vectors_mm.abs().max() <= 12 + STEP_MM / 2


def test_float32_stays_float32_and_the_costs_are_left_as_they_were(problem, network):
    costs, points_mm, edges = problem
    exact, single = network(*problem, STEP_MM), costs.float()
    found = network.float()(single, points_mm.float(), edges, STEP_MM)
    assert found.vectors_mm.dtype == found.confidence.dtype == torch.float32
    assert torch.equal(single, costs.float())
    assert (found.vectors_mm.double() - exact.vectors_mm).abs().max() < 0.02
