"""Mean-field inference with learned potentials: a graph network that starts from what works without one.

Each sweep is that of ``mean_field`` (Heinrich 2019; unrolled as in Zheng et al., ICCV 2015), and an EdgeConv (Wang et
al. 2019) over the keypoints decides what its constants were: how much to trust a keypoint's costs (a_i) and its
neighbourhood (b_i), whom of it (w_ij), and how far the neighbourhood speaks by its mean or by the affine motion that
fits it best (l_i),

    q_i(d) ~ exp(-(a_i c_i(d) + b_i |d - m_i|^2)),
    m_i = argmin_m min_G sum_j w_ij |d_j - m - G (p_j - p_i)|^2 + l_i |G|^2,   sum_j w_ij = 1,

over the neighbours j and the keypoint itself. After each sweep the costs are looked up around the expected displacement
(Teed & Deng, ECCV 2020). Only differences of places and displacements enter: moving the world, or all displacements
alike, changes nothing.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphreg.core.cubes import boltzmann, costs_at, expectation, label_steps
from graphreg.regularisers.prediction import Prediction
from graphreg.runtime.chunks import rows

DATA_WEIGHT = 200.0  # a_i before anything is learned
LOOKS = 27  # labels around the expected displacement that are looked at
VOTES = 25  # sums over the neighbours of which their affine motion is made
SPOT = 1e-3  # squared steps added to a variance before its logarithm
STIFFNESS = 2.0  # log l_i before anything is learned
UNSURE = 0.2  # least confidence: a spline that drops keypoints misses what moves by itself
SURE = 1.0  # logit of the confidence before anything is learned
NUDGE = 0.5  # label steps by which the last layer may correct a displacement


class Problem(NamedTuple):
    """What all sweeps look at."""

    costs: Tensor  # (N, L, L, L)
    least: Tensor  # (N,), of the costs of each keypoint
    places: Tensor  # (N, 3), in typical distances of neighbours
    edge_index: Tensor  # (2, E), neighbour -> centre
    step_mm: float


class State(NamedTuple):
    """What the keypoints think between sweeps."""

    features: Tensor  # (N, F)
    weight: Tensor  # (N,), a_i
    coupling: Tensor  # (N,) per mm^2, b_i
    centre: Tensor  # (N, 3) in mm, m_i
    mean: Tensor  # (N, 3), expected displacement in mm
    variance: Tensor  # (N,) in mm^2, of all axes together

    def spread(self, step_mm: float) -> Tensor:
        """Logarithm (N,) of the variance in squared label steps."""
        return (self.variance / step_mm**2 + SPOT).log()

    def shares(self, problem: Problem) -> Tensor:
        """Belief (N, L, L, L) in each label: q_i."""
        step = label_steps(problem.costs, problem.step_mm)
        x, y, z = (self.coupling[:, None] * (step - self.centre[:, a, None]).square() for a in range(3))
        prior = z[:, :, None, None] + y[:, None, :, None] + x[:, None, None]
        energy = self.weight[:, None, None, None] * problem.costs + prior
        return torch.softmax(-energy.flatten(1), 1).reshape(energy.shape)


class UnrolledNet(nn.Module):
    """Costs of N keypoints and their graph to a displacement and a confidence each."""

    def __init__(self, couplings: Sequence[float] = (0.01, 0.03, 0.1, 0.1), features: int = 24):
        """One sweep for each of the ``couplings``: b_i per mm^2 before anything is learned."""
        super().__init__()
        self.first = _mlp(4, features, features)
        self.sweeps = nn.ModuleList(Sweep(coupling, features) for coupling in couplings)
        self.last = _silenced(_mlp(features + LOOKS, 2 * features, 4))

    def forward(
        self, costs: Tensor, points_mm: Tensor, edge_index: Tensor, step_mm: float, beliefs: bool = False
    ) -> Prediction:
        """Costs (N, L, L, L), labels ``step_mm`` apart; points (N, 3); edges (2, E) neighbour -> centre."""
        source, target = edge_index
        lengths = (points_mm[source] - points_mm[target]).norm(dim=1)
        typical = lengths.median().clamp_min(1e-3) if len(lengths) else 1.0
        places = (points_mm - points_mm.mean(0)) / typical
        problem = Problem(costs, costs.amin((1, 2, 3)), places.to(costs), edge_index, step_mm)
        state = self._begin(problem)
        for sweep in self.sweeps:
            state = sweep(state, problem)
        looks = DATA_WEIGHT * around(problem.costs, state.mean / step_mm)
        out = self.last(torch.cat((state.features, _relative(looks)), 1))
        vectors_mm = state.mean + NUDGE * step_mm * torch.tanh(out[:, :3])
        shares = state.shares(problem) if beliefs else None
        return Prediction(vectors_mm, torch.sigmoid(out[:, 3] + SURE) * (1 - UNSURE) + UNSURE, shares)

    def _begin(self, problem: Problem) -> State:
        """Every keypoint by itself."""
        costs, least = problem.costs, problem.least
        weight = torch.full_like(least, DATA_WEIGHT)
        nobody, nowhere = torch.zeros_like(least), least.new_zeros(len(costs), 3)
        mean, variance, mass = infer(problem, weight, nobody, nowhere)
        state = State(costs, weight, nobody, nowhere, mean, variance)
        height, width = costs.mean((1, 2, 3)) - least, (mass / costs[0].numel()).log()
        shape = (state.spread(problem.step_mm), 20 * least, 20 * height, width)
        return state._replace(features=self.first(torch.stack(shape, 1)))


class Sweep(nn.Module):
    """One update of all keypoints."""

    def __init__(self, coupling: float, features: int):
        super().__init__()
        self.neighbours = Neighbours(features)  # type: ignore[abstract]  # torch-geometric marks what few need
        self.trust = _silenced(_mlp(2 * features, features, 4))
        self.update = _mlp(2 * features + 5 + LOOKS, features, features)
        self.log_coupling = nn.Parameter(torch.tensor(math.log(coupling)))
        self.log_weight = nn.Parameter(torch.tensor(math.log(DATA_WEIGHT)))

    def forward(self, state: State, problem: Problem) -> State:
        step = problem.step_mm
        heard, votes = self.neighbours(state, problem)
        own, stiffness, data, coupling = self.trust(torch.cat((state.features, heard), 1)).unbind(1)
        self_vote = own.clamp(-6, 6).exp() / (1 + state.variance)
        centre = state.mean + consensus(votes, self_vote, (stiffness + STIFFNESS).clamp(-5, 8).exp())
        weight = (self.log_weight + data.clamp(-3, 3)).exp()
        pull = (self.log_coupling + coupling.clamp(-5, 5)).exp()
        mean, variance, _ = infer(problem, weight, pull, centre)
        new = State(state.features, weight, pull, centre, mean, variance)
        looks = DATA_WEIGHT * around(problem.costs, mean / step)
        depth = (looks[:, LOOKS // 2] - DATA_WEIGHT * problem.least) / 10
        news = (new.spread(step), (mean - centre).norm(dim=1) / step, pull.log(), weight.log(), depth.clamp_max(5))
        seen = torch.cat((state.features, heard, torch.stack(news, 1), _relative(looks)), 1)
        return new._replace(features=state.features + self.update(seen))


class Neighbours(MessagePassing):
    """What the neighbours say (N, F), and their votes (N, 25) on the displacement of the centre.

    An EdgeConv whose first layer sees of the centre its features, of the neighbour the difference of everything. Votes
    are sums of w, w X, w Y, w X X', w X Y' over the neighbours, X and Y their places and displacements less the own.
    """

    def __init__(self, features: int):
        super().__init__(aggr="sum", node_dim=0)
        self.own = nn.Linear(features + 1, features)
        self.other = nn.Linear(features + 7, features, bias=False)
        self.after = nn.Linear(features, features + 1)
        with torch.no_grad():
            self.after.weight[-1] = 0
            self.after.bias[-1] = 0

    def forward(self, state: State, problem: Problem) -> tuple[Tensor, Tensor]:
        spread = state.spread(problem.step_mm)[:, None]
        everything = torch.cat((state.features, spread, state.mean / problem.step_mm, problem.places), 1)
        other = self.other(everything)
        own = self.own(torch.cat((state.features, spread), 1)) - other
        place = torch.cat((problem.places, state.mean), 1)
        sure = 1 / (1 + state.variance)
        total = self.propagate(problem.edge_index, own=own, other=other, place=place, sure=sure[:, None])
        count = torch.bincount(problem.edge_index[1], minlength=len(own)).clamp_min(1)
        said, votes = total.split((own.shape[1], VOTES), 1)
        return said / count[:, None], votes

    def message(  # type: ignore[override]  # the names tell what to gather
        self, own_i: Tensor, other_j: Tensor, place_i: Tensor, place_j: Tensor, sure_j: Tensor
    ) -> Tensor:
        said, vote = self.after(F.silu(own_i + other_j)).split((own_i.shape[1], 1), 1)
        weight = sure_j * vote.clamp(-6, 6).exp()
        difference = place_j - place_i
        x = difference[:, :3]
        products = (x[:, :, None] * difference[:, None]).flatten(1)  # X X' and X Y'
        return torch.cat((said, weight, weight * difference, weight * products), 1)


def consensus(votes: Tensor, self_vote: Tensor, stiffness: Tensor) -> Tensor:
    """Displacement (N, 3) less the own by weighted affine regression on the votes (N, 25), see ``Neighbours``.

    ``stiffness`` (N,) is the ridge on the affine part: infinite, and the mean is left. The own vote lies at zero.
    """
    weight = (votes[:, 0] + self_vote)[:, None]
    place, value = (votes[:, 1:7] / weight).split(3, 1)
    products = (votes[:, 7:] / weight).unflatten(1, (3, 6)) - place[:, :, None] * torch.cat((place, value), 1)[:, None]
    ridge = stiffness[:, None, None] * torch.eye(3, device=votes.device, dtype=votes.dtype)
    affine = torch.linalg.solve(products[:, :, :3] + ridge, products[:, :, 3:])
    return value - torch.einsum("na,nab->nb", place, affine)


def infer(problem: Problem, weight: Tensor, coupling: Tensor, centre_mm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (N, 3) in mm, variance (N,) in mm^2 and mass (N,) of q_i; only part of the cubes is worked on at once."""
    given = (problem.costs, problem.least, weight, coupling, centre_mm)
    step = rows(problem.costs[0].numel(), weight.device)
    parts = zip(*(array.split(step) for array in given), strict=True)
    found = [expectation(boltzmann(c, least, w), problem.step_mm, b, m) for c, least, w, b, m in parts]
    mean, variance, mass = (torch.cat(column) for column in zip(*found, strict=True))
    return mean, variance, mass


def around(costs: Tensor, where: Tensor) -> Tensor:
    """Costs (N, 27) around displacements (N, 3) in label steps, a step apart along each axis."""
    axis = torch.arange(-1.0, 2.0, device=costs.device, dtype=costs.dtype)
    return costs_at(costs, where[:, None] + torch.cartesian_prod(axis, axis, axis))


def _relative(looks: Tensor) -> Tensor:
    """Costs around a displacement less the cost at it, in the order of one."""
    return (looks - looks[:, LOOKS // 2, None]).clamp(-20, 20) / 5


def _mlp(*widths: int) -> nn.Sequential:
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*layers[:-1])


def _silenced(mlp: nn.Sequential) -> nn.Sequential:
    """The MLP with an output of zero before anything is learned."""
    with torch.no_grad():
        for parameter in mlp[-1].parameters():
            parameter.zero_()
    return mlp
