"""The figures of a study as tables to read: Markdown and LaTeX.  summary, rows -> text"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graphreg.study.files import Failure

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]  # caption, header, rows; the first columns hold words

KINDS = {
    "before": "before",
    "after": "after",
    "before_snapped": "before, snapped to voxels",
    "after_snapped": "after, snapped to voxels",
}
ERRORS = ("landmarks", "", "mean ± sd", "median", "quartiles", "p95", "worst 30 %", "> 5 mm", "95 % interval", "cases")
CASES = ("case", "landmarks", "n", "before", "after", "snapped", "p95", "folding", "SDlogJ", "Learn2Reg", "s", "MiB")
NAMES = {
    "folding_percent": "folding [%]",
    "sdlogj": "SDlogJ",
    "sdlogj_l2r": "SDlogJ as Learn2Reg",
    "mean_jacobian": "mean Jacobian",
    "seconds": "time [s]",
    "peak_mib": "memory [MiB]",
}
ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    ">": "$>$",
    "<": "$<$",
}
MISSING = "-"


def summary_tables(summary: Mapping[str, Any]) -> list[Table]:
    """Errors over all landmarks, and figures over all cases."""
    errors = [
        _of_errors(name, kind, found) for name, found in summary["errors"].items() for kind in found["over_landmarks"]
    ]
    figures = [_of_figure(NAMES[name], found) for name, found in summary["figures"].items()]
    tables: list[Table] = [
        ("Target registration error in mm over all landmarks; interval of the mean over cases", ERRORS, errors),
        ("Over cases", ("", "mean ± sd", "median", "lowest", "highest"), figures),
    ]
    return [table for table in tables if table[2]]


def tables_of(
    summary: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], failures: Sequence[Failure]
) -> list[Table]:
    """Those of the summary, every case, and those that failed."""
    tables: list[Table] = [
        *summary_tables(summary),
        ("Cases; errors in mm", CASES, [_of_case(row) for row in rows]),
        ("Failed", ("case", "error", "message"), [(f.case, f.type, f.message) for f in failures]),
    ]
    return [table for table in tables if table[2]]


def markdown(title: str, tables: Sequence[Table]) -> str:
    """tables.md."""
    parts = [f"# {_flat(title)}"]
    for caption, header, rows in tables:
        lines = [_bars(header), _bars(["---"] * len(header)), *map(_bars, rows)]
        parts.append("\n".join([f"{caption}:", "", *lines]))
    return "\n\n".join(parts) + "\n"


def latex(title: str, tables: Sequence[Table]) -> str:
    """tables.tex, to be read in by a document with the package booktabs."""
    parts = [f"% {_flat(title)}; needs \\usepackage{{booktabs}}"]
    for caption, header, rows in tables:
        body = [r"\midrule", *(" & ".join(map(_tex, row)) + r" \\" for row in rows)]
        lines = [r"\begin{table}", r"\centering", f"\\caption{{{_tex(caption)}}}"]
        lines += [f"\\begin{{tabular}}{{{'l' * len(header)}}}", r"\toprule", " & ".join(map(_tex, header)) + r" \\"]
        parts.append("\n".join([*lines, *body, r"\bottomrule", r"\end{tabular}", r"\end{table}"]))
    return "\n\n".join(parts) + "\n"


def _of_errors(name: str, kind: str, found: Mapping[str, Any]) -> list[str]:
    marks, cases = found["over_landmarks"][kind], found["over_cases"][kind]
    interval = cases["interval_mm"]
    return [
        name,
        KINDS[kind],
        f"{_number(marks['mean_mm'])} ± {_number(marks['sd_mm'])}",
        _number(marks["median_mm"]),
        f"{_number(marks['p25_mm'])} to {_number(marks['p75_mm'])}",
        _number(marks["p95_mm"]),
        _number(marks["worst_30_mm"]),
        f"{100 * marks['above_5_mm']:.1f} %",
        f"{_number(interval[0])} to {_number(interval[1])}" if interval else MISSING,
        str(cases["count"]),
    ]


def _of_figure(name: str, found: Mapping[str, float]) -> list[str]:
    numbers = (_number(found[key], 3) for key in ("median", "low", "high"))
    return [name, f"{_number(found['mean'], 3)} ± {_number(found['sd'], 3)}", *numbers]


def _of_case(row: Mapping[str, Any]) -> list[str]:
    pairs = (
        f"{_number(row[f'{k}_mean_mm'])} ± {_number(row[f'{k}_sd_mm'])}" if f"{k}_mean_mm" in row else MISSING
        for k in ("before", "after", "after_snapped")
    )
    digits = {"after_p95_mm": 2, "folding_percent": 3, "sdlogj": 3, "sdlogj_l2r": 4, "seconds": 1, "peak_mib": 0}
    numbers = (_number(row.get(name), places) for name, places in digits.items())
    return [row["case"], row["landmark_set"] or MISSING, str(row["landmarks"]), *pairs, *numbers]


def _number(value: float | None, digits: int = 2) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _bars(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_flat(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def _tex(text: str) -> str:
    return "".join(ESCAPES.get(character, character) for character in _flat(text))
