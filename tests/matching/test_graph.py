"""Nearest neighbours: the three ways to find them agree, and no point is its own neighbour."""

import pytest
import torch

from graphreg.core.records import Keypoints
from graphreg.matching.graph import NearestNeighbours, nearest_cluster, nearest_scipy, nearest_torch

WAYS = [nearest_scipy, nearest_torch, pytest.param(nearest_cluster, marks=pytest.mark.cluster)]


@pytest.fixture(autouse=True)
def installed(request):
    if request.node.get_closest_marker("cluster"):
        pytest.importorskip("torch_cluster", reason="the extra [cluster] is not installed")


@pytest.fixture
def points_mm(generator):
    return torch.randn(300, 3, generator=generator) * torch.tensor([30.0, 50.0, 80.0]) + 200


@pytest.mark.parametrize("way", WAYS)
def test_each_way_agrees_with_all_distances_sorted(way, points_mm):
    distances = (points_mm[:, None].double() - points_mm.double()).norm(dim=2).fill_diagonal_(torch.inf)
    assert torch.equal(way(points_mm, 7), distances.argsort(1)[:, :7])


@pytest.mark.parametrize("way", WAYS)
def test_corners_of_a_rectangle_hear_the_near_side_first_and_the_far_side_next(way):
    # 2 mm by 3 mm: 3 -- 2
    #                0 -- 1
    corners = torch.tensor([[0.0, 0.0, 5.0], [2.0, 0.0, 5.0], [2.0, 3.0, 5.0], [0.0, 3.0, 5.0]])
    assert way(corners, 2).tolist() == [[1, 3], [0, 2], [3, 1], [2, 0]]


def test_edges_run_from_the_neighbour_to_the_centre():
    corners = Keypoints(torch.tensor([[0.0, 0.0, 5.0], [2.0, 0.0, 5.0], [2.0, 3.0, 5.0], [0.0, 3.0, 5.0]]))
    graph = NearestNeighbours(neighbours=1)(corners)
    assert graph.edge_index.tolist() == [[1, 0, 3, 2], [0, 1, 2, 3]]
    far = NearestNeighbours(neighbours=1)(Keypoints(torch.cat((corners.points_mm, torch.tensor([[10.0, 0.0, 5.0]])))))
    assert far.edge_index[:, 4].tolist() == [1, 4]  # the lonely point hears corner 1, which does not hear it
    assert far.lengths_mm.tolist() == [2, 2, 2, 2, 8]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("k", [1, 3, 6])
def test_coinciding_points_have_k_neighbours_and_never_themselves(way, k):
    points_mm = torch.cat((torch.zeros(5, 3), torch.ones(4, 3)))
    found = way(points_mm, k)
    assert found.shape == (9, k)
    assert not (found == torch.arange(9)[:, None]).any()
    assert all(len(set(row)) == k for row in found.tolist())
    distances = (points_mm[found] - points_mm[:, None]).norm(dim=2)
    others = torch.cdist(points_mm, points_mm).fill_diagonal_(torch.inf).sort(1)[0][:, :k]
    assert torch.allclose(distances.sort(1)[0], others)


def test_chunks_do_not_change_the_neighbours(points_mm, monkeypatch):
    whole = nearest_torch(points_mm, 5)
    monkeypatch.setattr("graphreg.matching.graph.CHUNK", 70)
    assert torch.equal(nearest_torch(points_mm, 5), whole)


def test_neighbours_follow_a_relabelling_of_the_points(points_mm, generator):
    order = torch.randperm(300, generator=generator)
    assert torch.equal(order[nearest_scipy(points_mm[order], 5)], nearest_scipy(points_mm, 5)[order])


def test_every_keypoint_hears_k_others_and_without_neighbours_there_are_no_edges(points_mm):
    graph = NearestNeighbours()(Keypoints(points_mm))
    assert graph.edge_index[1].bincount().tolist() == [10] * 300
    assert (graph.edge_index[0] != graph.edge_index[1]).all()
    graph = NearestNeighbours(neighbours=0)(Keypoints(points_mm))
    assert graph.edge_index.shape == (2, 0)
    assert graph.typical_mm == 1


def test_as_many_neighbours_as_keypoints_are_refused(points_mm):
    with pytest.raises(ValueError, match="5 neighbours need at least 6 keypoints, got 5"):
        NearestNeighbours(neighbours=5)(Keypoints(points_mm[:5]))
    with pytest.raises(ValueError, match="neighbours must be at least 0, got -1"):
        NearestNeighbours(neighbours=-1)
