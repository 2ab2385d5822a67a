"""Our EdgeConv is that of torch-geometric, at every position apart."""

from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.nn import EdgeConv as PublishedConv

from graphreg.regularisers.edge_conv import EdgeConv

# both have methods that torch-geometric calls abstract and never asks for
edge_conv: Any = EdgeConv
published_conv: Any = PublishedConv


@pytest.fixture
def problem(generator):
    """Features (12, 5, 3) float64, edges (2, 40), none into node 11, and a convolution to 4 channels."""
    x = torch.randn(12, 5, 3, generator=generator, dtype=torch.float64)
    source = torch.randint(12, (40,), generator=generator)
    target = torch.randint(11, (40,), generator=generator)
    conv = edge_conv(3, 4, nn.LeakyReLU(0.01)).double()
    weights = (torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in conv.parameters())
    conv.load_state_dict(dict(zip(conv.state_dict(), weights, strict=True)))
    return conv, x, torch.stack((source, target))


def test_edge_conv_is_that_of_torch_geometric_at_each_position_alike(problem):
    conv, x, edge_index = problem
    first = nn.Linear(6, 4)
    published = published_conv(nn.Sequential(first, nn.LeakyReLU(0.01)), aggr="mean").double()
    first.load_state_dict(conv.first.state_dict())
    for position in x.unbind(1):
        assert torch.allclose(conv(position, edge_index), published(position, edge_index), atol=1e-12)
    conv, x, edge_index = problem
    apart = [conv(position, edge_index) for position in x.unbind(1)]
    assert torch.allclose(conv(x, edge_index), torch.stack(apart, 1), atol=1e-12)


def test_edge_conv_is_the_mean_over_the_neighbours_by_hand():
    # by hand: edges 1 -> 0 and 2 -> 0, weights (10, 1): 10 * 1 + (2 - 1) = 11 and 10 * 1 + (5 - 1) = 14, mean 12.5
    conv = edge_conv(1, 1, bias=False)
    conv.load_state_dict({"first.weight": torch.tensor([[10.0, 1.0]])})
    found = conv(torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([[1, 2], [0, 0]]))
    assert found.tolist() == [[12.5], [0.0], [0.0]]


def test_edge_conv_follows_a_relabelling_of_nodes_and_does_not_care_for_the_order_of_edges(problem, generator):
    conv, x, edge_index = problem
    order = torch.randperm(12, generator=generator)
    relabelled = conv(x[order], order.argsort()[edge_index])
    assert torch.allclose(relabelled, conv(x, edge_index)[order], atol=1e-12)
    conv, x, edge_index = problem
    order = torch.randperm(40, generator=generator)
    assert torch.allclose(conv(x, edge_index[:, order]), conv(x, edge_index), atol=1e-12)


def test_the_gradient_of_edge_conv_is_that_of_finite_differences(problem):
    conv, x, edge_index = problem
    names = list(conv.state_dict())

    def call(x, *weights):
        return torch.func.functional_call(conv, dict(zip(names, weights, strict=True)), (x, edge_index))

    weights = [p.detach().clone().requires_grad_() for p in conv.parameters()]
    assert torch.autograd.gradcheck(call, (x[:, :2].clone().requires_grad_(), *weights))
