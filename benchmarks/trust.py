"""How often wrong pairs are caught, and right ones suspected: a table, and OUT/trust.json.

Takes the right pairs of PAIRS (a folder of pairs as in ``accuracy.py``, with masks) and phantoms, makes them wrong in
the ways of ``trust_cases.py``, and registers all. A pair is caught where its result comes with a warning or is refused.
What is in OUT/trust.json is not computed again: after a change of the program, take another OUT. usage:

    python benchmarks/trust.py OUT [--pairs PAIRS] [--phantoms N] [--preset NAME]
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from common import cases, environment, header, images, kept_rows, line, masks, parser
from trust_cases import RIGHT, WRONG, Subject

from graphreg import PRESETS, ImagePair, make_phantom, read_pair, register
from graphreg.anatomy import Anatomy
from graphreg.core.figures import Quality
from graphreg.io.json_text import plain, write_json
from graphreg.runtime.malloc import keep_freed_memory

FIGURES = ("local_ncc", "matched_percent", "seen_percent", "mask_dice")


def main() -> None:
    """Command line."""
    options = arguments().parse_args()
    keep_freed_memory()
    subjects = list(read_subjects(options.pairs, options.phantoms))
    file: Path = options.out / "trust.json"
    rows = kept_rows(file)
    known = {(row["subject"], row["kind"]) for row in rows}
    for number, subject in enumerate(subjects):
        for kind, make in (RIGHT | WRONG).items():
            if (subject.name, kind) in known:
                continue
            other = next((s for s in subjects[number + 1 :] + subjects[:number] if unlike(s, subject)), None)
            if other is None:
                raise SystemExit("two patients or phantoms needed")
            row = {"subject": subject.name, "kind": kind, "right": kind in RIGHT}
            rows.append(row | judge(make(subject, other), options.preset))
            write_json(file, {**environment(()), "preset": options.preset, "rows": rows})
            print(subject.name, kind, rows[-1].get("refused") or rows[-1]["quality"]["local_ncc"], flush=True)
    anatomy = PRESETS[options.preset].anatomy
    print("\n".join(table([judged(row, anatomy) for row in rows])))


def arguments() -> argparse.ArgumentParser:
    """What the command line takes."""
    found = parser(__doc__)
    found.add_argument("out", type=Path)
    found.add_argument("--pairs", type=Path)
    found.add_argument("--phantoms", type=int, default=3)
    found.add_argument("--preset", default="inhale-exhale", choices=PRESETS)
    return found


def read_subjects(pairs: Path | None, phantoms: int) -> Iterator[Subject]:
    """Pairs, then phantoms."""
    for folder in cases(pairs) if pairs else ():
        yield Subject.of(folder.name, read_pair(*images(folder), *masks(folder)))
    for seed in range(phantoms):
        yield Subject.of(f"phantom {seed}", make_phantom(seed).pair)


def unlike(one: Subject, other: Subject) -> bool:
    """Whether two are of different patients; the same scan may have been breathed out twice."""
    return one.fixed.data.shape != other.fixed.data.shape or not torch.equal(one.fixed.data, other.fixed.data)


def judge(pair: ImagePair, preset: str) -> dict[str, Any]:
    """Figures of its registration, or why there is none."""
    try:
        return {"quality": plain(asdict(register(pair, preset=preset).quality))}
    except ValueError as error:
        return {"refused": str(error)}


def judged(row: dict[str, Any], anatomy: Anatomy) -> dict[str, Any]:
    """A row with the signs against it by the limits of today."""
    if "refused" in row:
        return row | {"signs": ["refused"]}
    return row | {"signs": [doubt.sign for doubt in anatomy.doubts(quality_of(row["quality"]))]}


def quality_of(figures: dict[str, Any]) -> Quality:
    """What was written, NaN again where JSON has no number for it."""
    own = {name: math.nan if value is None else value for name, value in figures.items() if name != "anatomy"}
    added = {name: math.nan if value is None else value for name, value in figures["anatomy"].items()}
    return Quality(**own, anatomy=added)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """A line per kind in Markdown, right ones first."""
    lines = [header(["pairs", "warned", *FIGURES, "signs"])]
    for kind in RIGHT | WRONG:
        found = [row for row in rows if row["kind"] == kind]
        warned = sum(bool(row["signs"]) for row in found)
        signs = sorted({sign for row in found for sign in row["signs"]})
        qualities = [row["quality"] for row in found if "quality" in row]
        ranges = [spread([quality[figure] for quality in qualities]) for figure in FIGURES]
        lines.append(line((kind, f"{warned} of {len(found)}", *ranges, ", ".join(signs) or "none")))
    for right, name in ((True, "right pairs warned of"), (False, "wrong pairs warned of")):
        found = [row for row in rows if row["right"] is right]
        warned = sum(bool(row["signs"]) for row in found)
        lines.append(f"\n{name}: {warned} of {len(found)} ({100 * warned / max(len(found), 1):.0f} %)")
    return lines


def spread(values: list[float]) -> str:
    """From the least to the largest."""
    return f"{min(values):.3g} to {max(values):.3g}" if values else "-"


if __name__ == "__main__":
    main()
