"""Data sets in the files that their authors publish, and tables of one's own pairs -> cases."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from graphreg.core.errors import PathInput, unsuitable
from graphreg.io.datasets.case import Case, DataSet, problems_of
from graphreg.io.datasets.dirlab import KINDS, read_dirlab
from graphreg.io.datasets.learn2reg import read_learn2reg
from graphreg.io.datasets.lung250m import read_lung250m
from graphreg.io.datasets.manifest import read_manifest

__all__ = ["Case", "DataSet", "problems_of", "read_dataset"]

NEED = (
    "a manifest (.csv or .json), or a folder of DIR-Lab 4DCT, DIR-Lab COPDgene, Learn2Reg LungCT or NLST, Lung250M-4B"
)
READERS: tuple[Callable[[Path], DataSet | None], ...] = (
    *(partial(read_dirlab, kind=kind) for kind in KINDS),
    read_learn2reg,
    read_lung250m,
)


def read_dataset(path: PathInput) -> DataSet:
    """The cases of a data set, recognised by its files, or of a manifest; no image is read yet. Raises InputError."""
    path = Path(path)
    if not path.exists():
        raise unsuitable(path, NEED, "nothing")
    found = _in_folder(path) if path.is_dir() else [_in_file(path)]
    known = [dataset for dataset in found if dataset is not None]
    if len(known) != 1:
        raise unsuitable(path, NEED, " and ".join(dataset.name for dataset in known) or "none of these")
    return known[0]


def _in_folder(folder: Path) -> list[DataSet | None]:
    manifests = (folder / "manifest.csv", folder / "manifest.json")
    return [read_manifest(file) for file in manifests if file.exists()] + [reader(folder) for reader in READERS]


def _in_file(file: Path) -> DataSet | None:
    if file.name.endswith("_dataset.json"):
        return read_learn2reg(file)
    return read_manifest(file) if file.suffix.lower() in (".csv", ".json") else None
