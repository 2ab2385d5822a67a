"""Corresponding points to the motion of a kind that joins them best.  (N, 3), (N, 3) -> Affine

With p and q the points about their centres, sum_i |A p_i - q_i|^2 is least for

    affine      A = (sum q p') (sum p p')^-1
    rigid       A = U D V',   sum q p' = U S V',   D = diag(1, 1, det(U V')) so that nothing is mirrored
    similarity  A = c U D V',  c = tr(S D) / sum |p|^2

(Horn 1987; Umeyama 1991), and the translation joins the centres. A translation alone leaves A = 1.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from graphreg.core.affine import Affine
from graphreg.core.errors import InputError

Kind = Literal["translation", "rigid", "similarity", "affine"]
KINDS: tuple[Kind, ...] = get_args(Kind)

POINTS = {"translation": 1, "rigid": 3, "similarity": 3, "affine": 4}  # that are needed
SPREAD = {"translation": "", "rigid": "not on one line", "similarity": "not on one line", "affine": "not in one plane"}
FLAT = 1e-4  # of their largest extent: points that spread less in a direction do not tell about it


def best(fixed_mm: Tensor, moving_mm: Tensor, kind: Kind) -> Affine:
    """The motion of that kind which brings points (N, 3) nearest to others; float64.

    Raises:
        InputError: too few points, or those of either image on one line or in one plane; an affine motion that mirrors.
    """
    fixed_mm, moving_mm = fixed_mm.double(), moving_mm.double()
    _require_spread(fixed_mm, kind, "fixed")
    _require_spread(moving_mm, kind, "moving")
    share = 1 / len(fixed_mm)
    centre_mm, target_mm = (share * fixed_mm).sum(0), (share * moving_mm).sum(0)
    p, q = fixed_mm - centre_mm, moving_mm - target_mm
    matrix = _matrix((share * q).T @ p, (share * p).T @ p, kind)
    if not float(torch.linalg.det(matrix)) > 0:
        raise InputError(f"The best {kind} motion of the points mirrors the patient")
    return Affine(matrix, target_mm - matrix @ centre_mm)


def _matrix(cross: Tensor, own: Tensor, kind: Kind) -> Tensor:
    if kind == "translation":
        return torch.eye(3, dtype=torch.float64)
    if kind == "affine":
        return torch.linalg.solve(own, cross.T).T
    u, s, vt = torch.linalg.svd(cross)
    signs = torch.ones_like(s)
    signs[2] = torch.linalg.det(u @ vt).sign()
    rotation = (u * signs) @ vt
    return rotation if kind == "rigid" else rotation * (s * signs).sum() / own.trace()


def _require_spread(points_mm: Tensor, kind: Kind, image: str) -> None:
    need = f"At least {POINTS[kind]} pairs of points are needed for a motion that is {kind}, {SPREAD[kind]}"
    need = need.removesuffix(", ")
    if len(points_mm) < POINTS[kind]:
        raise InputError(f"{need}, got {len(points_mm)}")
    extent = torch.linalg.svdvals(points_mm - points_mm.mean(0))
    directions = POINTS[kind] - 1
    if directions and not bool(extent[directions - 1] > FLAT * extent[0].clamp_min(1e-3)):
        raise InputError(f"{need}, got {len(points_mm)} {image} ones that are")
