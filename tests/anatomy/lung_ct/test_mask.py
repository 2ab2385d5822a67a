"""Automatic lung masks on a synthetic chest: body, table, two lungs with vessels, trachea, bowel gas, outside air."""

import pytest
import torch
from torch import Tensor

from graphreg.anatomy.lung_ct.mask import LungsNotFoundError, find_lungs
from graphreg.core.grid import Grid
from graphreg.core.records import Volume

GRID = Grid((70, 90, 110), (3.0, 2.8, 4.0), (-165.0, -125.0, -140.0))
LUNGS = (((-68.0, 0.0, 0.0), (45.0, 65.0, 90.0)), ((66.0, 5.0, 5.0), (42.0, 60.0, 80.0)))


def _ellipsoid(points_mm: Tensor, centre_mm: tuple[float, ...], radii_mm: tuple[float, ...]) -> Tensor:
    return ((points_mm - points_mm.new_tensor(centre_mm)) / points_mm.new_tensor(radii_mm)).norm(dim=-1) < 1


def _truth(grid: Grid) -> Tensor:
    points_mm = grid.points_mm(torch.zeros(0))
    return torch.stack([_ellipsoid(points_mm, *lung) for lung in LUNGS]).any(0)


def _trachea(grid: Grid) -> Tensor:
    """A tube down to z = 10 mm, its wall against the tissue between the lungs, and the bronchi into both lungs."""
    x, y, z = grid.points_mm(torch.zeros(0)).unbind(-1)
    windpipe = (x.hypot(y - 10) < 9) & (z > 10)
    bronchi = ((z - 12).hypot(y - 10) < 6) & (x.abs() < 45)
    return windpipe | bronchi


def _chest(grid: Grid, lung_hu: float = -850.0, outside_hu: float = -1000.0) -> Volume:
    points_mm = grid.points_mm(torch.zeros(0))
    x, y, z = points_mm.unbind(-1)
    data = torch.full(grid.shape, outside_hu)
    data[(y > 115) & (y < 123)] = -100.0  # table
    data[(x / 145).hypot(y / 105) < 1] = 40.0
    lungs = _truth(grid)
    data[lungs] = lung_hu + 2.0 * (y[lungs] + 0.2 * z[lungs]).clamp(-60, 60)  # denser at the back
    data[_trachea(grid)] = -1000.0
    data[_ellipsoid(points_mm, (40.0, -30.0, -120.0), (25.0, 25.0, 20.0))] = -1000.0  # stomach
    vessels = ((x + 60).hypot(y - 10) < 4) | ((y.abs() < 4) & ((z - 20).abs() < 4))
    data[lungs & vessels & ~_trachea(grid)] = 40.0
    noise = torch.randn(grid.shape, generator=torch.Generator().manual_seed(0))
    return Volume(grid, (data + 25 * noise).clamp(min=-1024.0))


def _dice(a: Tensor, b: Tensor) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.fixture(scope="module")
def found() -> Tensor:
    return find_lungs(_chest(GRID))


@pytest.mark.parametrize("lung_hu", [-850.0, -620.0])
def test_lungs_of_known_shape_are_found(lung_hu: float) -> None:
    mask = find_lungs(_chest(GRID, lung_hu))
    assert mask.shape == GRID.shape
    assert mask.dtype == torch.bool
    assert _dice(mask, _truth(GRID)) > 0.95


def test_vessels_belong_to_the_lung_and_trachea_stomach_and_outside_air_do_not(found: Tensor) -> None:
    x, y, z = GRID.points_mm(torch.zeros(0)).unbind(-1)
    vessel = ((x + 60).hypot(y - 10) < 4) & (z.abs() < 70)
    assert found[vessel].float().mean() > 0.95
    points_mm = GRID.points_mm(torch.zeros(0))
    windpipe = _trachea(GRID) & (points_mm[..., 2] > 30)
    assert not found[windpipe].any()
    assert not found[points_mm[..., 2] < -98].any()
    assert not found[(points_mm[..., 0] / 145).hypot(points_mm[..., 1] / 105) > 1].any()


@pytest.mark.parametrize("padding", [-1024.0, -3024.0])
def test_padding_does_not_change_the_mask(found: Tensor, padding: float) -> None:
    volume = _chest(GRID)
    padded = volume.data.clone()
    padded[:, :12] = padded[:, :, :8] = padding
    assert _dice(find_lungs(Volume(GRID, padded)), found) > 0.999


def test_the_answer_ignores_storage_direction(found: Tensor) -> None:
    volume = _chest(GRID)
    x, y, z = GRID.to_mm(torch.tensor([69.0, 0.0, 109.0], dtype=torch.float64)).tolist()
    flipped = Grid(GRID.shape, GRID.spacing_mm, (x, y, z), ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0)))
    mask = find_lungs(Volume(flipped, volume.data.flip(0, 2)))
    assert _dice(mask.flip(0, 2), found) > 0.999


def test_an_oblique_scan_gives_the_same_lungs() -> None:
    cos, sin = 0.9396926, 0.3420201  # 20 degrees about z
    direction = ((cos, -sin, 0.0), (sin, cos, 0.0), (0.0, 0.0, 1.0))
    grid = Grid((70, 100, 110), (3.0, 2.8, 4.0), (-107.5, -180.0, -140.0), direction)
    assert _dice(find_lungs(_chest(grid)), _truth(grid)) > 0.95


@pytest.mark.parametrize("low", [(0, 12, 0), (18, 22, 18)])
def test_one_lung_cut_by_the_scan_is_found(low: tuple[int, int, int]) -> None:
    """The right half; with and without outside air, the lung reaching the border in the second."""
    grid = GRID.cropped(low, (70 - low[0], 60, 55 - low[2]))
    assert _dice(find_lungs(_chest(grid)), _truth(grid)) > 0.95


def _water(grid: Grid) -> Tensor:
    x, y, _ = grid.points_mm(torch.zeros(0)).unbind(-1)
    return torch.where(x.hypot(y) < 100, 0.0, -1000.0)


@pytest.mark.parametrize(
    "data",
    [torch.zeros(GRID.shape), torch.full(GRID.shape, -1000.0), _water(GRID), _chest(GRID).data + 1024],
    ids=["constant", "air", "water", "not-in-hu"],
)
def test_an_image_without_lung_is_refused(data: Tensor) -> None:
    with pytest.raises(LungsNotFoundError, match=r"needed at least 200 ml .* got 0 ml \(image range"):
        find_lungs(Volume(GRID, data))
