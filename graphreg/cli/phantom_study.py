"""``graphreg phantom --study N``: many phantoms and the table that ``graphreg study`` reads."""

import csv
import io
from pathlib import Path

from graphreg.cli import phantoms
from graphreg.io import write_text

MANIFEST = "manifest.csv"
FILES = {role: f"{role}.nii.gz" for role in ("fixed", "moving", "fixed_mask", "moving_mask")}
FILES |= {"landmarks": "landmarks.csv"}


def write_phantom_study(out: Path, count: int, seed: int = 0, spacing: tuple[float, float] | None = None) -> Path:
    """Phantoms of so many seeds from ``seed`` on in folders seedK, and last their table, whose path is returned."""
    names = [f"seed{number}" for number in range(seed, seed + count)]
    for number, name in enumerate(names, seed):
        phantoms.phantom(out / name, number, spacing)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", *FILES])
    writer.writerows([name, *(f"{name}/{file}" for file in FILES.values())] for name in names)
    write_text(out / MANIFEST, text.getvalue())
    return out / MANIFEST
