"""Figures as tables in text."""

from collections.abc import Sequence

from graphreg.analysis.metrics import TreSummary

COLUMNS = {"mean": "mean_mm", "sd": "sd_mm", "median": "median_mm", "p75": "p75_mm", "p95": "p95_mm", "max": "max_mm"}


def tre_table(rows: dict[str, TreSummary]) -> str:
    """Registration errors in mm, a named row each, under a header."""
    width = max(map(len, rows)) + 1
    lines = [f"{'TRE [mm]':<{width}}" + "".join(f"{name:>8}" for name in COLUMNS) + f"{'> 5 mm':>10}"]
    for name, figures in rows.items():
        numbers = "".join(f"{getattr(figures, field):8.2f}" for field in COLUMNS.values())
        lines.append(f"{name:<{width}}{numbers}{100 * figures.above_5_mm:8.1f} %")
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]], figures: int) -> list[str]:
    """Rows of cells as lines, so many columns at the end, of figures, set to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_line(row, widths, len(widths) - figures) for row in rows]


def _line(row: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = [cell.ljust(width) for cell, width in zip(row[:left], widths[:left], strict=True)]
    padded += [cell.rjust(width) for cell, width in zip(row[left:], widths[left:], strict=True)]
    return "  ".join(padded).rstrip()
