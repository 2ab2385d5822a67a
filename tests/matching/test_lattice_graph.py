"""Edges of lattices: counted by hand, against all distances, turned, with gaps and with steps that differ."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import Keypoints, Volume
from graphreg.matching.lattice_graph import SixNeighbours
from graphreg.sampling.lattice import Lattice


def edges_of(points_mm):
    return SixNeighbours()(Keypoints(points_mm)).edge_index


def lattice(shape, steps_mm=(1.0, 1.0, 1.0), angles=(0.0, 0.0, 0.0), origin_mm=(0.0, 0.0, 0.0)):
    """Places (N, 3) and points (N, 3) of a turned lattice."""
    places = torch.cartesian_prod(*[torch.arange(n) for n in shape]).double()
    turn = torch.from_numpy(Rotation.from_euler("xyz", angles, degrees=True).as_matrix())
    return places, (places * torch.tensor(steps_mm)) @ turn.T + torch.tensor(origin_mm)


def expected_edges(places):
    """By all distances between places, ordered by target, then source."""
    target, source = ((places[:, None] - places).abs().sum(2) == 1).nonzero().T
    return torch.stack((source, target))


def test_six_points_worked_by_hand():
    # 3 -- 4    5        2 -- 3 steps of 2 mm along x, 3 mm along y; 5 stands alone
    # |    |
    # 0 -- 1 -- 2
    points_mm = torch.tensor([[0.0, 0, 9], [2, 0, 9], [4, 0, 9], [0, 3, 9], [2, 3, 9], [6, 3, 9]])
    source, target = edges_of(points_mm).tolist()
    assert target == [0, 0, 1, 1, 1, 2, 3, 3, 4, 4]
    assert source == [1, 3, 0, 2, 4, 1, 0, 4, 1, 3]


@pytest.mark.parametrize("steps_mm", [(8.0, 8.0, 8.0), (8.4, 7.8, 7.5), (2.0, 9.0, 40.0), (15.0, 3.0, 3.0)])
@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (10.0, -20.0, 35.0), (90.0, 0.0, 45.0)])
def test_edges_are_those_between_places_one_step_apart(steps_mm, angles, generator):
    places, points_mm = lattice((9, 8, 7), steps_mm, angles, (-123.4, 955.25, -301.125))
    inside = torch.rand(len(places), generator=generator) < 0.7
    found = edges_of(points_mm[inside].float())
    assert torch.equal(found, expected_edges(places[inside]))


def test_points_without_a_neighbour_keep_none():
    places, points_mm = lattice((4, 4, 4), (5.0, 5.0, 5.0))
    lonely = torch.tensor([[40.0, 35.0, 50.0]]).double()
    found = edges_of(torch.cat((points_mm, lonely)))
    assert torch.equal(found, expected_edges(places))
    assert edges_of(lonely).shape == edges_of(lonely[:0]).shape == (2, 0)


def test_a_plane_and_a_line_are_lattices_too():
    for shape in ((5, 1, 6), (1, 9, 1)):
        places, points_mm = lattice(shape, (3.0, 4.0, 5.0), (20.0, 30.0, 40.0))
        assert torch.equal(edges_of(points_mm), expected_edges(places))


def test_every_edge_runs_both_ways_and_none_to_itself(generator):
    _, points_mm = lattice((6, 6, 6), (4.0, 5.0, 6.0))
    graph = SixNeighbours()(Keypoints(points_mm[torch.randperm(216, generator=generator)]))
    source, target = graph.edge_index
    edges = set(zip(source.tolist(), target.tolist(), strict=True))
    assert edges == {(b, a) for a, b in edges} and len(edges) == len(source) == 2 * 3 * 180
    assert sorted(zip(target.tolist(), source.tolist(), strict=True)) == list(
        zip(target.tolist(), source.tolist(), strict=True)
    )
    assert graph.lengths_mm.unique().round(decimals=6).tolist() == [4.0, 5.0, 6.0]


def test_points_of_a_sampled_mask_hear_their_neighbours(generator):
    # a ball on slices of 5 mm: steps of 8, 7.7 and 10 mm, many points, float32
    grid = Grid((40, 280, 280), (1.0, 0.7, 5.0), (-640.0, 1200.5, -1301.125))
    centre = grid.corners_mm().mean(0)
    mask = (grid.points_mm(centre) - centre).norm(dim=-1) < 60
    keypoints = Lattice()(Volume(grid, torch.zeros(grid.shape)), mask)
    places = (grid.to_index(keypoints.points_mm.double()) / torch.tensor([2.0, 11.0, 8.0])).double()
    found = SixNeighbours()(keypoints).edge_index
    assert torch.equal(found, expected_edges((places - places[0]).round()))
    assert len(keypoints) > 1000


def test_points_that_lie_on_no_lattice_are_refused(generator):
    with pytest.raises(InputError, match="keypoints of a regular lattice"):
        edges_of(torch.rand(60, 3, generator=generator) * 100)
