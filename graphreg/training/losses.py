"""What a network is fitted to: the motion that the spline makes of its keypoints.

Known motion is compared with that of the spline at points of the region, so that displacements and confidences are good
for what they are used for. Where nothing is known, the descriptors judge (Hansen & Heinrich 2021): the cost of the
spline's displacement of points that have costs of their own, and the cost that the keypoints expect of their beliefs.
"""

import torch
from torch import Tensor

from graphreg.core.cubes import costs_at
from graphreg.regularisers.prediction import Prediction
from graphreg.training.excerpts import Excerpt

ROUNDING_MM = 0.1  # errors below it count less and less
LARGEST_MM = 5.0  # the square of an error grows no further
SQUARE = 1.0  # of the squared error in label steps: what is far off is worth more than its distance
EXPECTED = 0.5  # of the expected cost, against that of the spline's displacement
METRIC = 20.0  # mm of error that a unit of cost is worth


def objective(prediction: Prediction, part: Excerpt, smoothness_mm: float) -> Tensor:
    """Loss of a prediction for an excerpt, in mm."""
    motion_mm = spline_at(part.query_mm, part.points_mm, prediction, smoothness_mm)
    if part.target_mm is not None:
        return distance(motion_mm, part.target_mm, part.step_mm)
    assert part.query_costs is not None
    loss = costs_at(part.query_costs, (motion_mm / part.step_mm)[:, None]).mean()
    if prediction.beliefs is not None:
        stride = (part.costs.shape[1] - 1) // (prediction.beliefs.shape[1] - 1)
        seen = part.costs[:, ::stride, ::stride, ::stride]
        loss = loss + EXPECTED * (prediction.beliefs * seen).flatten(1).sum(1).mean()
    return METRIC * loss


def distance(motion_mm: Tensor, target_mm: Tensor, step_mm: float) -> Tensor:
    """Mean length of the errors (m, 3), large ones raised."""
    square = (motion_mm - target_mm).square().sum(1)
    raised = square.clamp_max(LARGEST_MM**2).mean() / step_mm
    return (square + ROUNDING_MM**2).sqrt().mean() + SQUARE * raised


def spline_at(query_mm: Tensor, points_mm: Tensor, prediction: Prediction, smoothness_mm: float) -> Tensor:
    """Displacements (m, 3) that a thin-plate smoothing spline gives points (m, 3), open to gradients.

    ``interpolation.thin_plate`` refuses what it cannot solve; here one excerpt without an answer must not end a run.
    """
    centre = points_mm.mean(0)
    knots, query = (points_mm - centre).double(), (query_mm - centre).double()
    scale = knots.abs().amax().clamp_min(1.0)
    plane, affine = (torch.cat((torch.ones_like(p[:, :1]), p / scale), 1) for p in (knots, query))
    system = -_distances(knots, knots) + torch.diag(smoothness_mm / prediction.confidence.double())
    zero = system.new_zeros(4, 4)
    system = torch.cat((torch.cat((system, plane), 1), torch.cat((plane.T, zero), 1)))
    values = torch.cat((prediction.vectors_mm.double(), zero[:, :3]))
    weights = torch.linalg.solve(system, values)
    return (torch.cat((-_distances(query, knots), affine), 1) @ weights).to(query_mm)


def _distances(one: Tensor, other: Tensor) -> Tensor:
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")
