"""What ``graphreg evaluate`` measures: errors of landmarks, regularity in the region, overlap of labels."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from graphreg import __version__
from graphreg.analysis.metrics import TreSummary, summarise, tre, tre_snapped
from graphreg.analysis.quality import regularity
from graphreg.cli.checks import naming, warn_of_strays
from graphreg.cli.console import say
from graphreg.cli.overlap import overlap_by_label, overlap_lines, require_both
from graphreg.cli.tables import tre_table
from graphreg.core.errors import InputError
from graphreg.core.records import DenseField, Landmarks
from graphreg.core.resampling import identity
from graphreg.io import read_landmark_lists, read_landmarks, read_mask, read_transform
from graphreg.io.images import read_grid
from graphreg.io.json_text import write_json

Errors = Callable[[Callable[[Tensor], Tensor]], Tensor]
Both = dict[str, TreSummary]  # before and after

NAMES = {"tre": "", "tre_snapped": ", snapped to voxels"}


@dataclass(frozen=True)
class Evaluation:
    """The files of one evaluation."""

    transform: Path
    fixed_landmarks: Path | None
    moving_landmarks: Path | None
    landmarks: Path | None  # in place of the two
    fixed: Path | None
    moving: Path | None
    fixed_mask: Path | None
    fixed_labels: Path | None
    moving_labels: Path | None

    def tell(self, json_file: Path | None) -> None:
        """Says all figures and writes them to a file where one is given. Raises InputError before that."""
        require_both(self.fixed_labels, self.moving_labels)
        field, pairs = read_transform(self.transform), self._pairs()
        warn_of_strays(field, pairs.fixed_mm)
        errors, regularity = self._errors(field, pairs), self._regularity(field)
        overlap = overlap_by_label(field, self.fixed_labels, self.moving_labels)
        for line in (_table(errors), *_lines(regularity), *overlap_lines(overlap)):
            say(line)
        if json_file:
            about = {"graphreg": __version__, "transform": str(self.transform)}
            write_json(json_file, about | _plain(errors) | regularity | overlap)

    def _pairs(self) -> Landmarks:
        both, fixed, moving = self.landmarks, self.fixed_landmarks, self.moving_landmarks
        if both and not (fixed or moving):
            return read_landmarks(both)
        if fixed and moving and not both:
            return read_landmark_lists(fixed, moving)
        raise InputError("either --landmarks or both --fixed-landmarks and --moving-landmarks are needed")

    def _errors(self, field: DenseField, pairs: Landmarks) -> dict[str, Both]:
        errors = {"tre": _both(lambda motion: tre(motion, pairs), field)}
        if self.moving:
            grid = read_grid(self.moving)
            errors["tre_snapped"] = _both(lambda motion: tre_snapped(motion, pairs, grid), field)
        return errors

    def _regularity(self, field: DenseField) -> dict[str, Any]:
        """Figures of the Jacobian in the region, where it is given."""
        if not self.fixed_mask:
            return {}
        image = self.fixed or self.fixed_mask
        grid = read_grid(image)
        mask = read_mask(self.fixed_mask, grid, image)
        with naming(self.fixed_mask):
            return asdict(regularity(field, mask, grid))


def _both(errors: Errors, field: DenseField) -> Both:
    return {"before": summarise(errors(identity)), "after": summarise(errors(field))}


def _table(errors: dict[str, Both]) -> str:
    return tre_table({f"{when}{NAMES[kind]}": s for kind, both in errors.items() for when, s in both.items()})


def _plain(errors: dict[str, Both]) -> dict[str, Any]:
    return {kind: {when: asdict(summary) for when, summary in both.items()} for kind, both in errors.items()}


def _lines(regularity: dict[str, Any]) -> list[str]:
    if not regularity:
        return []
    return [
        f"in the mask: folding {regularity['folding_percent']:.3f} %, SDlogJ {regularity['sdlogj']:.3f}, "
        f"mean Jacobian {regularity['mean_jacobian']:.3f}"
    ]
