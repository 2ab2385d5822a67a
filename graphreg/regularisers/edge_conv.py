"""EdgeConv (Wang et al. 2019) on torch-geometric, in the order of operations that costs least.

x_i' = mean_j h([x_i, x_j - x_i]). The first layer of h is linear: it is applied to the nodes, before they are gathered
on the edges; the same function with as many times fewer operations as a node has neighbours.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch_geometric.nn import MessagePassing


class EdgeConv(MessagePassing):
    """Mean over the neighbours j of after(A x_i + B (x_j - x_i) + c): features (N, ..., inputs) to (N, ..., hidden)."""

    def __init__(self, inputs: int, hidden: int, after: Callable[[Tensor], Tensor] | None = None, bias: bool = True):
        super().__init__(aggr="mean", node_dim=0)
        self.first = nn.Linear(2 * inputs, hidden, bias)
        self.after = after or nn.Identity()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """``edge_index`` (2, E) runs neighbour -> centre."""
        centre, difference = self.first.weight.chunk(2, 1)
        own = nn.functional.linear(x, centre - difference, self.first.bias)
        return self.propagate(edge_index, own=own, other=nn.functional.linear(x, difference))

    def message(self, own_i: Tensor, other_j: Tensor) -> Tensor:  # type: ignore[override]  # the names tell what to gather
        return self.after(own_i.add_(other_j))  # both are copies, the largest arrays of all
