"""The published network: its size, what it must not depend on, what its output means."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from graphreg.core.cubes import label_grid
from graphreg.core.filters import gaussian
from graphreg.core.records import Keypoints
from graphreg.matching.graph import NearestNeighbours
from graphreg.regularisers import published
from graphreg.regularisers.published import PublishedNet

STEP_MM = 2.0
LABELS = 13  # per axis: 7, 4 and 2 on the coarser maps
COUNT = 20


def network(generator, **options):
    """A network with weights drawn by the generator; float64."""
    net = PublishedNet(**options).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return net


@pytest.fixture
def problem(generator) -> tuple[Tensor, Tensor, Tensor]:
    """Costs without order, points (20, 3) in mm and their edges; float64."""
    costs = 0.3 * torch.rand(COUNT, LABELS, LABELS, LABELS, generator=generator, dtype=torch.float64)
    points_mm = 15 * torch.randn(COUNT, 3, generator=generator, dtype=torch.float64)
    return costs, points_mm, NearestNeighbours(neighbours=4)(Keypoints(points_mm)).edge_index


def agree(one, other):
    return all(torch.allclose(a, b, rtol=1e-7, atol=1e-9) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("coordinates", [True, False])
def test_the_network_has_as_many_parameters_as_the_published_one(coordinates):
    assert sum(p.numel() for p in PublishedNet(coordinates=coordinates).parameters()) == 33506


def test_the_network_follows_a_relabelling_of_keypoints(problem, generator):
    costs, points_mm, edges = problem
    net, order = network(generator), torch.randperm(COUNT, generator=generator)
    there = net(costs[order], points_mm[order], order.argsort()[edges], STEP_MM)
    assert agree(there, [part[order] for part in net(*problem, STEP_MM)])


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_moving_or_scaling_the_world_changes_nothing(scale, problem, generator):
    costs, points_mm, edges = problem
    net = network(generator)
    moved = scale * (points_mm + points_mm.new_tensor([120.0, -80.0, -300.0]))
    assert agree(net(costs, moved, edges, STEP_MM), net(*problem, STEP_MM))


def test_the_edges_see_where_the_keypoints_are_unless_told_not_to(problem, generator):
    costs, points_mm, edges = problem
    other_mm = points_mm.roll(1, 0)
    for coordinates in (True, False):
        net = network(generator, coordinates=coordinates)
        here, there = net(*problem, STEP_MM), net(costs, other_mm, edges, STEP_MM)
        assert torch.equal(here.vectors_mm, there.vectors_mm) is not coordinates


def test_each_keypoint_hears_the_others_over_the_edges_and_the_network_bears_a_single_one(problem, generator):
    costs, points_mm, edges = problem
    net = network(generator)
    alone = net(costs, points_mm, edges[:, edges[1] != 3], STEP_MM)
    assert not torch.allclose(alone.beliefs[3], net(*problem, STEP_MM).beliefs[3], rtol=1e-3)
    costs, points_mm, edges = problem
    found = network(generator)(costs[:1], points_mm[:1], edges[:, :0], STEP_MM)
    assert all(bool(part.isfinite().all()) for part in found)


@pytest.mark.parametrize("chunk", [1, 7])
def test_chunk_size_does_not_change_the_prediction(chunk, problem, generator, monkeypatch):
    net = network(generator)
    whole = net(*problem, STEP_MM)
    monkeypatch.setattr(published, "rows", lambda *_: chunk)
    assert agree(net(*problem, STEP_MM), whole)


@pytest.mark.parametrize("labels", [9, 11, 13])
def test_vectors_are_the_mean_of_every_other_label_under_the_beliefs(labels, problem, generator):
    costs, points_mm, edges = problem
    part = costs[:, :labels, :labels, :labels]
    found = network(generator)(part, points_mm, edges, STEP_MM)
    every = label_grid(labels // 2 * STEP_MM, STEP_MM).points_mm(costs)
    other = every[::2, ::2, ::2].reshape(-1, 3)
    shares = found.beliefs.flatten(1)
    mean = shares @ other
    variance = (shares[..., None] * (other - mean[:, None]).square()).sum((1, 2))
    assert torch.allclose(found.vectors_mm, mean, atol=1e-9)
    assert torch.allclose(found.confidence, 1 / (1 + variance / STEP_MM**2), atol=1e-9)
    assert torch.allclose(shares.sum(1), torch.ones(COUNT).double())
    assert every.abs().max() == other.abs().max()


def test_vectors_stay_within_the_cube_and_confidence_above_zero_and_up_to_one(problem, generator):
    net = network(generator)
    with torch.no_grad():
        net.second.last.weight.mul_(1000)  # sure of itself: labels at the border too
    found = net(*problem, STEP_MM)
    reach_mm = (LABELS // 2) * STEP_MM
    assert reach_mm / 2 < found.vectors_mm.abs().max() <= reach_mm
    assert found.confidence.min() > 0 and found.confidence.max() <= 1


def test_the_gradient_reaches_every_parameter_but_the_last_bias(problem, generator):
    net = network(generator)
    net(*problem, STEP_MM).vectors_mm.square().sum().backward()
    sizes = {name: p.grad.abs().max().item() for name, p in net.named_parameters()}
    # the softmax does not know what is added to all logits
    assert sizes.pop("second.last.bias") < 1e-9
    assert min(sizes.values()) > 1e-6


def test_float32_stays_float32_and_the_costs_are_left_as_they_were(problem, generator):
    costs, points_mm, edges = problem
    net = network(generator)
    exact, single = net(*problem, STEP_MM), costs.float()
    found = net.float()(single, points_mm.float(), edges, STEP_MM)
    assert all(part.dtype == torch.float32 for part in found)
    assert torch.equal(single, costs.float())
    assert torch.allclose(found.vectors_mm.double(), exact.vectors_mm, atol=1e-2)


def test_enlarged_maps_are_interpolated_and_smoothed_and_costs_are_seen_with_their_smoothed_selves(generator, problem):
    coarse = torch.randn(3, 1, 7, 7, 7, generator=generator, dtype=torch.float64)
    fine, smooth = published.enlarged(coarse, 13).unbind(1)
    oracle = F.interpolate(coarse, size=(13, 13, 13), mode="trilinear", align_corners=True)[:, 0]
    assert torch.equal(fine[:, ::2, ::2, ::2], coarse[:, 0])
    assert torch.allclose(fine, oracle, atol=1e-12)
    assert torch.allclose(smooth, gaussian(oracle, (1.0, 1.0, 1.0)), atol=1e-12)
    own, smooth = published.with_smoothed(problem[0]).unbind(1)
    assert torch.allclose(smooth, gaussian(own, (1.0, 1.0, 1.0)), atol=1e-12)


@pytest.mark.parametrize("labels", [7, 12])
def test_a_cube_that_does_not_halve_is_refused(labels, problem):
    costs, points_mm, edges = problem
    with pytest.raises(ValueError, match=f"odd number of at least 9 labels per axis, got {labels}"):
        PublishedNet().double()(costs[:, :labels, :labels, :labels], points_mm, edges, STEP_MM)
