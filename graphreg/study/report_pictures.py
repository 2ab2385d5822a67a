"""Pictures of one case for a page: images and motion in; out data URIs of JPEGs.

Fixed, moving and warped image are grey pictures of the same planes, which the page lays over each other.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor

from graphreg.analysis.regions import jacobian_on, log_jacobian
from graphreg.anatomy import Anatomy
from graphreg.core.errors import unsuitable
from graphreg.core.records import DenseField, Volume
from graphreg.core.resampling import crop
from graphreg.core.resampling import region as box_around
from graphreg.io import read_mask, read_transform, read_volume
from graphreg.io.fingerprints import fingerprint
from graphreg.io.maps import draw_map, limits
from graphreg.io.pictures import MARGIN_MM, Window, shade, three_planes
from graphreg.runs.identity import anatomy_of
from graphreg.runs.results import TRANSFORM, WARPED

QUALITY = 80  # of the JPEGs
CROP_MM, CROP = 64.0, 160  # side of a piece around a landmark, in mm and pixels
RING = (4.0, 5.5)  # radii in mm of the ring around the landmark
RING_COLOUR = (1.0, 0.85, 0.2)


@dataclass(frozen=True)
class Picture:
    """A picture as the page holds it."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Images:
    """What one registration saw and made."""

    fixed: Volume
    moving: Volume
    warped: Volume
    field: DenseField
    region: Tensor | None  # (D, H, W) bool on the grid of fixed
    windows: tuple[Window, Window]  # of grey values, for the fixed and for the moving image

    @classmethod
    def read(cls, folder: Path, record: Mapping[str, Any]) -> Self:
        """Those of a result folder and its record. Raises InputError, as where an image is gone or has changed."""
        paths = {role: _input(folder, record, role) for role in ("fixed", "moving", "fixed_mask")}
        if paths["fixed"] is None or paths["moving"] is None:
            raise unsuitable(folder.name, "a record that names both images", "another")
        anatomy = anatomy_of(record)
        field, warped = read_transform(folder / TRANSFORM), read_volume(folder / WARPED)
        fixed, moving = read_volume(paths["fixed"]), read_volume(paths["moving"])
        mask = paths["fixed_mask"]
        inside = _region(fixed, anatomy) if mask is None else read_mask(mask, fixed.grid, mask)
        windows = _window(anatomy, fixed), _window(anatomy, moving)
        return cls(fixed, moving, warped, field, inside, windows)

    def layers(self) -> dict[str, Picture]:
        """Fixed image, moving image before and after, in axial, coronal and sagittal planes side by side."""
        shown = {
            "fixed": (self.fixed, self.windows[0]),
            "before": (self.moving, self.windows[1]),
            "after": (self.warped, self.windows[1]),
        }

        def paint(points_mm: Tensor) -> Tensor:
            return torch.stack([shade(volume, points_mm, window) for volume, window in shown.values()], -1)

        pixels = three_planes(self.fixed.grid, self.region, paint)
        return {name: encode(pixels[..., channel]) for channel, name in enumerate(shown)}

    def jacobian(self) -> Picture | None:
        """The logarithm of the Jacobian in colours, over the same planes; None where the region is not known."""
        if self.region is None:
            return None
        part = box_around(self.region, self.fixed.grid, MARGIN_MM + max(self.fixed.grid.spacing_mm))
        fixed, inside = crop(self.fixed, part), self.region[part]
        values = log_jacobian(jacobian_on(self.field, fixed.grid)).masked_fill(~inside, torch.nan)
        return encode(
            draw_map(fixed, inside, values, limits(values, diverging=True), diverging=True, window=self.windows[0])
        )

    def piece(self, point_mm: Sequence[float]) -> dict[str, Picture]:
        """Axial surroundings of a point of the fixed image, before and after: fixed in red, the other in cyan."""
        steps = torch.linspace(-CROP_MM / 2, CROP_MM / 2, CROP, dtype=torch.float64)
        down, across = torch.meshgrid(steps, steps, indexing="ij")
        points_mm = torch.stack([across, down, torch.zeros_like(down)], -1) + torch.tensor(point_mm).double()
        radius = torch.hypot(across, down)
        ring = ((radius >= RING[0]) & (radius <= RING[1]))[..., None]
        red = shade(self.fixed, points_mm, self.windows[0])
        pieces = {}
        for name, volume in (("before", self.moving), ("after", self.warped)):
            cyan = shade(volume, points_mm, self.windows[1])
            colours = torch.stack([red, cyan, cyan], -1)
            pieces[name] = encode(torch.where(ring, colours.new_tensor(RING_COLOUR), colours))
        return pieces


def encode(pixels: Tensor) -> Picture:
    """Grey values (height, width) or colours (height, width, 3) in [0, 1] as a picture."""
    image = Image.fromarray((pixels.clamp(0, 1) * 255).round().to(torch.uint8).numpy())
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(f"data:image/jpeg;base64,{text}", image.width, image.height)


def _window(anatomy: Anatomy, volume: Volume) -> Window:
    window = anatomy.picture_window(volume)
    return window.low, window.high


def _region(fixed: Volume, anatomy: Anatomy) -> Tensor | None:
    try:
        return anatomy.find(fixed)
    except ValueError:
        return None


def _input(folder: Path, record: Mapping[str, Any], role: str) -> Path | None:
    """The file of an input, where the record says or beside the result; None where there was none."""
    inputs = record.get("inputs")
    entry = inputs.get(role) if isinstance(inputs, Mapping) else None
    if not isinstance(entry, Mapping) or not isinstance(entry.get("path"), str):
        return None
    path = Path(entry["path"])
    found = next((place for place in (path, folder / path, folder.parent / path) if place.exists()), None)
    if found is None:
        raise unsuitable(path.name, "the image that was registered", "nothing")
    if entry.get("sha256") not in (None, fingerprint(found)):
        raise unsuitable(path.name, "the image that was registered", "another one")
    return found
