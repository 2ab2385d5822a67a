"""Stage 0: the lungs of a chest CT, found from its HU alone. A scan to a mask on the scan's own grid.

Air inside the body without the airways, closed over vessels and hilum. The work is done on an isotropic copy along the
LPS axes, so that the answer depends neither on the storage order nor on the voxel size; all sizes are in mm.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from scipy import ndimage
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.filters import gaussian
from graphreg.core.grid import Grid, box, sample
from graphreg.core.records import Volume
from graphreg.core.settings import Settings

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.signedinteger]

TISSUE_HU = 0.0
LOWEST_HU = -1024.0
AIR = "Air inside a chest CT in HU is about -1000"
DARKEST = 0.05  # share of the lungs that is air rather than tissue, however ill they are
MOST_VOXELS = 100_000  # that are looked at


class LungsNotFoundError(InputError):
    """The image shows no lung."""


@dataclass(frozen=True, kw_only=True)
class LungFinder(Settings):
    """What is lung. Callable: a chest CT to the mask of its lungs. Raises InputError where a number is out of range."""

    spacing_mm: float = 2.0  # of the working copy
    air_hu: float = -320.0  # lung and air lie below
    gas_hu: float = -965.0  # median below: outside air or bowel gas, not lung
    airway_hu: tuple[float, ...] = (-975.0, -960.0, -945.0, -930.0, -915.0, -900.0)  # trials for the lumen
    lumen_hu: float = -945.0  # the median of an airway lies below
    airway_ml: tuple[float, float] = (0.5, 120.0)  # size of one connected piece of lumen
    airway_enclosure: float = 0.45  # of an airway's surroundings this share is tissue
    closing_mm: float = 8.0  # vessels and notches narrower than twice this belong to the lung
    smoothing_mm: float = 1.2  # standard deviation, of the boundary
    part: float = 0.15  # the second lung has at least this share of the first
    volume_ml: float = 200.0  # less than this is no lung

    def check(self) -> None:
        sizes = (self.spacing_mm, self.closing_mm, self.smoothing_mm, self.volume_ml)
        if min(sizes) <= 0:
            raise InputError(f"Mask spacing, closing, smoothing and volume must be positive, got {sizes} (mm, ml)")
        if self.gas_hu >= self.air_hu:
            raise InputError(f"gas_hu must lie below air_hu, got {self.gas_hu} and {self.air_hu} HU")

    def __call__(self, volume: Volume) -> Tensor:
        """Mask (D, H, W) of both lungs. Raises LungsNotFoundError."""
        return find_lungs(volume, self)


def find_lungs(volume: Volume, config: LungFinder = LungFinder()) -> Tensor:
    """Mask (D, H, W) of both lungs, their vessels included, trachea and main bronchi left out as far as possible.

    Raises:
        LungsNotFoundError: less than ``volume_ml`` of lung inside the body.
    """
    grid = Grid.covering(volume.grid.corners_mm(), config.spacing_mm)
    hu, scanned = _working_copy(volume, grid, config)
    inside = _air_inside(hu, scanned, config)
    lungs = _lung_parts(inside & ~_airways(hu, inside, config), hu, config)
    found_ml = _millilitres(lungs, config)
    if found_ml < config.volume_ml:
        low, high = volume.data.aminmax()
        raise LungsNotFoundError(
            f"No lung found: needed at least {config.volume_ml:.0f} ml of lung (air-like, {config.gas_hu:.0f} to "
            f"{config.air_hu:.0f} HU) inside the body, got {found_ml:.0f} ml "
            f"(image range {low:.4g} to {high:.4g}; is it a chest CT in HU? {AIR})"
        )
    return _bring_back(_close(lungs, config), grid, volume, config)


def require_air(volume: Volume, lungs: Tensor, config: LungFinder = LungFinder()) -> None:
    """Raise LungsNotFoundError where the darkest of the voxels in a mask (D, H, W) of the lungs hold no air."""
    values = volume.within(lungs).float()
    dark = torch.quantile(values[:: -(-len(values) // MOST_VOXELS)], DARKEST).item()
    if not 2 * LOWEST_HU <= dark <= config.air_hu:
        raise LungsNotFoundError(
            f"Intensities in HU needed, with a twentieth of the lungs below {config.air_hu:.0f}, got a twentieth below "
            f"{dark:.4g}. {AIR}: are they scaled, or is the rescale intercept missing?"
        )


def _working_copy(volume: Volume, grid: Grid, config: LungFinder) -> tuple[Array, Mask]:
    """Smoothed HU on the working grid, and where the scan has data; beyond it counts as tissue."""
    hu, scanned = torch.empty(grid.shape), torch.empty(grid.shape, dtype=torch.bool)
    data = volume.data.float().cpu()
    for slab in grid.slabs():
        points_mm = grid.points_mm(hu, slab)
        scanned[slab] = volume.grid.contains(points_mm)
        hu[slab] = sample(data[None], volume.grid, points_mm)[0]
    hu = gaussian(hu.clamp(min=LOWEST_HU), (0.5,) * 3).masked_fill(~scanned, TISSUE_HU)
    return hu.numpy(), scanned.numpy()


def _air_inside(hu: Array, scanned: Mask, config: LungFinder) -> Mask:
    """Air that is not outside the body.

    Outside are the parts that reach the scan's border and are gas; a lung cut by the border is not. Sheets thinner
    than three voxels (blankets, the shell of the table) do not part outside air from outside air.
    """
    air = hu < config.air_hu
    open_air = air | ~ndimage.binary_opening(~air, np.ones((3, 3, 3), bool))
    border = ~ndimage.binary_erosion(scanned)
    labels, _ = ndimage.label(open_air & scanned)
    outside = _are_gas(labels, hu, config)
    outside &= np.bincount(labels[border], minlength=len(outside)) > 0
    return air & ~outside[labels]


def _are_gas(labels: Labels, hu: Array, config: LungFinder) -> Mask:
    """For each label, the background's 0 being none, whether its median lies below that of any lung."""
    dark = np.bincount(labels[hu < config.gas_hu], minlength=int(labels.max()) + 1)
    gas = 2 * dark > np.bincount(labels.ravel())
    gas[0] = False
    return gas


def _airways(hu: Array, inside: Mask, config: LungFinder) -> Mask:
    """Lumen and wall of trachea and main bronchi: pieces of gas among tissue.

    The higher the threshold the more of the lumen is seen, until it leaks into the lung: then the surroundings of the
    piece are no longer tissue, and it does not count.
    """
    tissue = hu >= config.air_hu
    lumen = np.zeros_like(inside)
    for threshold in config.airway_hu:
        labels, _ = ndimage.label(inside & (hu < threshold))
        sizes_ml = np.bincount(labels.ravel()) * (config.spacing_mm**3 / 1000)
        for label, where in enumerate(ndimage.find_objects(labels), start=1):
            if config.airway_ml[0] <= sizes_ml[label] <= config.airway_ml[1]:
                around = tuple(slice(max(s.start - 4, 0), s.stop + 4) for s in where)
                piece = labels[around] == label
                if _is_airway(piece, hu[around], tissue[around], config):
                    lumen[around] |= piece
    return ndimage.binary_dilation(lumen, np.ones((3, 3, 3), bool))


def _is_airway(piece: Mask, hu: Array, tissue: Mask, config: LungFinder) -> bool:
    shell = ndimage.binary_dilation(piece, iterations=4) & ~ndimage.binary_dilation(piece, iterations=2)
    return bool(np.median(hu[piece]) < config.lumen_hu and tissue[shell].mean() >= config.airway_enclosure)


def _lung_parts(air: Mask, hu: Array, config: LungFinder) -> Mask:
    """The large connected parts of the air that are not gas; bridges one voxel wide do not connect."""
    labels, _ = ndimage.label(ndimage.binary_erosion(air))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    sizes[_are_gas(labels, hu, config)] = 0
    kept = (sizes > 0) & (sizes >= config.part * sizes.max())
    return ndimage.binary_dilation(kept[labels], iterations=5, mask=air)


def _millilitres(mask: Mask, config: LungFinder) -> float:
    return float(mask.sum()) * config.spacing_mm**3 / 1000


def _close(lungs: Mask, config: LungFinder) -> Mask:
    """Each lung closed with a ball, then freed of holes."""
    margin = int(config.closing_mm / config.spacing_mm) + 2
    padded = np.pad(lungs, margin)
    radius = config.closing_mm / config.spacing_mm
    grown = _distance(padded) <= radius
    closed = (_distance(~grown) > radius) | padded
    background, _ = ndimage.label(~closed)  # the padding is one part; all others are holes
    return (background != background[0, 0, 0])[(slice(margin, -margin),) * 3]


def _distance(mask: Mask) -> Array:
    """Distance in voxels to the nearest set voxel, zero within."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, insideIsPositive=False)
    return np.maximum(sitk.GetArrayFromImage(distance), 0)


def _bring_back(lungs: Mask, grid: Grid, volume: Volume, config: LungFinder) -> Tensor:
    """The mask with a smooth boundary on the volume's own grid."""
    found = torch.from_numpy(lungs)
    soft = gaussian(found.float(), (config.smoothing_mm / config.spacing_mm,) * 3)
    spans = box(found, (1, 1, 1))
    index = volume.grid.to_index(grid.part(spans).corners_mm()).clamp(min=0)
    low, high = index.amin(0).floor().long().tolist(), (index.amax(0).ceil().long() + 1).tolist()
    mask = torch.zeros(volume.grid.shape, dtype=torch.bool)
    part = mask[tuple(slice(*ends) for ends in zip(low, high, strict=True))]  # a view; nothing lies beyond it
    part_grid = volume.grid.cropped(low, (part.shape[0], part.shape[1], part.shape[2]))
    for slab in part_grid.slabs():
        part[slab] = sample(soft[None], grid, part_grid.points_mm(soft, slab))[0] > 0.5
    return mask.to(volume.data.device)
