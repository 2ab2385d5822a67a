"""The large files of a result, beside SimpleITK as it comes: see ``runtime.py``."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import SimpleITK as sitk
import torch
from stage_bench import Bench, Row, on_grid
from torch import Tensor

from graphreg.core.foreign import to_sitk
from graphreg.core.records import DenseField
from graphreg.io import read_transform, read_volume, write_transform, write_volume

FileJob = tuple[Callable[[], None], Callable[[], Tensor]]  # writes, reads


def files(bench: Bench) -> Iterator[Row]:
    """The large files of a result, by this program and by SimpleITK as it comes."""
    cpu = replace(bench, device=torch.device("cpu"))
    volume = on_grid(cpu.images()[0].round())
    grid = volume.grid.with_spacing(2.0)
    field = DenseField(grid, cpu.random(3, *grid.shape))
    image = to_sitk(volume.grid, volume.data.to(torch.int16))
    vectors = to_sitk(field.grid, field.displacement_mm.double().movedim(0, -1))
    transform = sitk.DisplacementFieldTransform(vectors)
    own, other = (str(bench.folder / name) for name in ("own", "other"))
    yield from round_trip(
        cpu,
        ".nii.gz",
        (lambda: write_volume(volume, f"{own}.nii.gz"), lambda: read_volume(f"{own}.nii.gz").data),
        (lambda: sitk.WriteImage(image, f"{other}.nii.gz", True), lambda: voxels(sitk.ReadImage(f"{other}.nii.gz"))),
    )
    yield from round_trip(
        cpu,
        ".h5",
        (lambda: write_transform(field, f"{own}.h5"), lambda: read_transform(f"{own}.h5").displacement_mm),
        (lambda: sitk.WriteTransform(transform, f"{other}.h5"), lambda: vectors_in(f"{other}.h5")),
    )


def round_trip(bench: Bench, kind: str, ours: FileJob, theirs: FileJob) -> Iterator[Row]:
    """Writing, then reading; both programs must read the same."""
    (seconds, _), (once, _) = bench.timed(ours[0]), bench.timed(theirs[0], 1)
    row = bench.beside(f"read {kind}", ours[1], theirs[1])
    yield replace(row, stage=f"write {kind}", seconds=seconds, reference_s=once)
    yield row


def voxels(image: sitk.Image) -> Tensor:
    """Values of an image, float32."""
    return torch.from_numpy(sitk.GetArrayFromImage(image)).float()


def vectors_in(path: str) -> Tensor:
    """Displacements (3, D, H, W) of a transform."""
    return voxels(sitk.DisplacementFieldTransform(sitk.ReadTransform(path)).GetDisplacementField()).movedim(-1, 0)
