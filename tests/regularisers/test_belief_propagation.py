"""Min-sum messages against exhaustive searches; trees worked by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from graphreg.core.records import KeypointGraph, Keypoints
from graphreg.matching.graph import NearestNeighbours
from graphreg.regularisers.belief_propagation import (
    depths,
    min_convolution,
    min_marginals,
    spanning_forest,
)


def labels(side):
    return torch.cartesian_prod(*[torch.arange(side, dtype=torch.float64)] * 3)


@given(st.integers(1, 5), st.floats(-3, 2), st.integers(0, 10**6))
def test_min_convolution_agrees_with_a_search_of_all_pairs_of_labels(side, power, seed):
    generator = torch.Generator().manual_seed(seed)
    energies = torch.randn(3, side, side, side, generator=generator, dtype=torch.float64) * 4 - 20
    weights = 10.0 ** torch.tensor([power, power + 0.5, power - 1], dtype=torch.float64)
    squared = torch.cdist(labels(side), labels(side)).square()
    expected = torch.stack([(e.flatten() + w * squared).amin(1) for e, w in zip(energies, weights, strict=True)])
    expected -= energies.flatten(1).amin(1, keepdim=True)
    assert torch.allclose(min_convolution(energies, weights).flatten(1), expected, atol=1e-9)


def test_min_convolution_leaves_its_input_alone(generator):
    energies = torch.randn(2, 3, 3, 3, generator=generator)
    before = energies.clone()
    min_convolution(energies, torch.tensor([0.1, 0.2]))
    assert torch.equal(energies, before)


@pytest.mark.parametrize(
    ("parents", "side"),
    [
        ([-1, 0, 0], 3),
        ([1, 2, -1], 3),
        ([1, -1, 1, 2], 2),
        ([3, 3, 0, -1], 2),
        ([-1, 0, -1, 2], 2),
        ([4, 4, 1, 1, -1], 2),
    ],
)
def test_min_marginals_agree_with_an_exhaustive_search(parents, side, generator):
    count = len(parents)
    data = 3 * torch.randn(count, side, side, side, generator=generator, dtype=torch.float64)
    weights = torch.rand(count, generator=generator, dtype=torch.float64) + 0.2
    squared = torch.cdist(labels(side), labels(side)).square()
    energy = torch.zeros((side**3,) * count, dtype=torch.float64)  # of every choice of a label for every node
    for node, parent in enumerate(parents):
        energy += data[node].flatten().reshape([-1 if axis == node else 1 for axis in range(count)])
        if parent >= 0:
            low, high = min(node, parent), max(node, parent)
            between = [side**3 if axis in (low, high) else 1 for axis in range(count)]
            energy += weights[node] * squared.reshape(between)
    found = min_marginals(data, torch.tensor(parents), weights).flatten(1)
    for node in range(count):
        expected = energy.amin([axis for axis in range(count) if axis != node])
        assert torch.allclose(found[node] - found[node].min(), expected - expected.min(), atol=1e-9)


def test_depths_count_the_edges_to_the_root():
    #   1 -> 0 -> 4 -> 2   and   3   and   6 -> 5
    parents = torch.tensor([1, -1, 4, -1, 0, 6, -1])
    assert [group.tolist() for group in depths(parents)] == [[1, 3, 6], [0, 5], [4], [2]]


def test_the_spanning_forest_takes_the_short_edges_of_a_rectangle():
    # 3 --2-- 2    by hand: both sides of 2 mm and one of 3 mm; the last edge of 3 mm would close the ring
    # |3      |3.5
    # 0 --2-- 1
    corners = Keypoints(torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [2.0, 3.5, 0.0], [0.0, 3.0, 0.0]]))
    graph = KeypointGraph(corners, torch.tensor([[1, 2, 3, 0], [0, 1, 2, 3]]))
    parents, lengths_mm = spanning_forest(graph, graph.lengths_mm)
    assert parents.tolist() == [-1, 0, 3, 0]
    assert lengths_mm[[1, 2, 3]].tolist() == pytest.approx([2.0, (2**2 + 0.5**2) ** 0.5, 3.0])


def test_the_spanning_forest_weighs_as_little_as_that_of_scipy_and_has_one_root_per_part(generator):
    near = torch.randn(40, 3, generator=generator) * 10
    graph = NearestNeighbours(neighbours=4)(Keypoints(torch.cat((near, near[:30] + 1000))))
    parents, lengths_mm = spanning_forest(graph, graph.lengths_mm)
    matrix = coo_array((graph.lengths_mm.double().numpy(), graph.edge_index.int().numpy()), shape=(70, 70)).tocsr()
    parts, part = connected_components(matrix, directed=False)
    roots = (parents < 0).nonzero().flatten().tolist()
    assert parts >= 2 and len(roots) == parts == len({part[root] for root in roots})
    expected = minimum_spanning_tree(matrix.maximum(matrix.T)).sum()
    assert lengths_mm[parents >= 0].sum().item() == pytest.approx(expected, rel=1e-5)
    assert sum(len(group) for group in depths(parents)) == 70


def test_every_edge_of_the_forest_is_one_of_the_graph_and_keypoints_at_one_place_still_make_a_tree(generator):
    graph = NearestNeighbours(neighbours=3)(Keypoints(torch.randn(60, 3, generator=generator)))
    parents, _ = spanning_forest(graph, graph.lengths_mm)
    edges = set(map(tuple, graph.edge_index.T.tolist()))
    tree = [(node, parent) for node, parent in enumerate(parents.tolist()) if parent >= 0]
    assert all((a, b) in edges or (b, a) in edges for a, b in tree)
    points = Keypoints(torch.cat((torch.zeros(3, 3), torch.eye(3))))
    parents, _ = spanning_forest(graph := NearestNeighbours(neighbours=4)(points), graph.lengths_mm)
    assert (parents < 0).sum() == 1
