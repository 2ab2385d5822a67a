"""Errors of landmarks as drawings: before and after in; out SVG to be put into a page.

Cumulative curves of all cases together, and a box per case, on logarithmic scales: errors before and after registration
differ by a factor of twenty or more. Colours are those of the page (report.css).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

import numpy as np

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 44  # margins of the curves
NAMES = 150  # width of the names of the cases beside the boxes
ROW, BOX = 34, 10  # height of a case and of a box in it
LONGEST_NAME = 22
STEPS = 200  # points of a curve
NEAR_MM = 0.1  # the start of a scale; smaller errors stand there
WHISKERS = (0.05, 0.25, 0.5, 0.75, 0.95)


class Errors(NamedTuple):
    """Errors of the same landmarks in mm."""

    before_mm: Sequence[float]
    after_mm: Sequence[float]


def cumulative_plot(landmark_set: str, cases: Mapping[str, Errors]) -> str:
    """Share of landmarks up to an error: all cases before and after, and each case after."""
    pooled = Errors(*([value for case in cases.values() for value in case[kind]] for kind in (0, 1)))
    far = _round_up(float(np.quantile([*pooled.before_mm, *pooled.after_mm], 0.999)))
    svg = _drawing(HEIGHT, f"Cumulative errors, landmark set {landmark_set}")
    down, ends = HEIGHT - TOP - BOTTOM, (LEFT, WIDTH - RIGHT)
    for share in range(0, 101, 25):
        y = TOP + down * (1 - share / 100)
        _line(svg, (LEFT, y), (WIDTH - RIGHT, y), "rule")
        _text(svg, (LEFT - 8, y + 4), f"{share} %", "end")
    _scale(svg, far, ends, (TOP, HEIGHT - BOTTOM))
    single = [(name, case.after_mm, "after thin") for name, case in cases.items()] if len(cases) > 1 else []
    curves = [*single, ("before", pooled.before_mm, "before"), ("after", pooled.after_mm, "after")]
    for name, values, kind in curves:
        shares = np.linspace(0, 1, min(len(values), STEPS) + 1)
        where = np.quantile(values, shares)
        points = [(float(LEFT), HEIGHT - BOTTOM)] + [
            (_place(x, far, ends), TOP + down * (1 - y)) for x, y in zip(where, shares, strict=True) if x <= far
        ]
        if where[-1] < far:
            points.append((WIDTH - RIGHT, TOP))
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        curve = ET.SubElement(svg, "polyline", {"points": path, "class": f"curve {kind}"})
        ET.SubElement(curve, "title").text = name
    _legend(svg, (WIDTH - RIGHT - 190, HEIGHT - BOTTOM - 30))
    return ET.tostring(svg, encoding="unicode")


def box_plot(landmark_set: str, cases: Mapping[str, Errors]) -> str:
    """Median, quartiles and the range from 5 to 95 % of every case before and after."""
    height = TOP + ROW * len(cases) + BOTTOM
    every = [value for case in cases.values() for kind in case for value in (np.quantile(kind, WHISKERS[-1]),)]
    far = _round_up(float(max(every)))
    svg = _drawing(height, f"Box plots of the errors of every case, landmark set {landmark_set}")
    _scale(svg, far, (NAMES, WIDTH - RIGHT), (TOP, height - BOTTOM))
    for number, (name, case) in enumerate(cases.items()):
        top = TOP + ROW * number + 4.0
        short = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
        ET.SubElement(_text(svg, (NAMES - 8, top + BOX + 5), short, "end"), "title").text = name
        for y, values, kind in ((top, case.before_mm, "before"), (top + BOX + 3, case.after_mm, "after")):
            _box(svg, y, [_place(x, far, (NAMES, WIDTH - RIGHT)) for x in np.quantile(values, WHISKERS)], kind)
    return ET.tostring(svg, encoding="unicode")


def _box(svg: ET.Element, top: float, at: Sequence[float], kind: str) -> None:
    low, lower, median, upper, high = at
    middle = top + BOX / 2
    _line(svg, (low, middle), (high, middle), f"whisker {kind}")
    for x in (low, high):
        _line(svg, (x, top + 2), (x, top + BOX - 2), f"whisker {kind}")
    size = {"x": lower, "y": top, "width": max(upper - lower, 0.5), "height": BOX}
    ET.SubElement(svg, "rect", {name: f"{value:.1f}" for name, value in size.items()} | {"class": f"box {kind}"})
    _line(svg, (median, top), (median, top + BOX), f"median {kind}")


def _drawing(height: float, label: str) -> ET.Element:
    return ET.Element("svg", {"viewBox": f"0 0 {WIDTH} {height}", "role": "img", "aria-label": label, "class": "plot"})


def _scale(svg: ET.Element, far: float, across: tuple[float, float], down: tuple[float, float]) -> None:
    """Rules from top to bottom at round errors, and what they are."""
    for error in _rounds(far):
        x = _place(error, far, across)
        _line(svg, (x, down[0]), (x, down[1]), "rule")
        _text(svg, (x, down[1] + 16), f"{error:g}", "middle")
    _text(svg, (sum(across) / 2, down[1] + 36), "target registration error (mm)", "middle")


def _legend(svg: ET.Element, at: tuple[float, float]) -> None:
    for shift, kind in ((0, "before"), (95, "after")):
        x, y = at[0] + shift, at[1] + 16
        _line(svg, (x, y), (x + 26, y), f"curve {kind}")
        _text(svg, (x + 32, y + 4), kind, "start")


def _place(error_mm: float, far: float, across: tuple[float, float]) -> float:
    """Where an error stands on a scale from NEAR_MM to far."""
    share = math.log(max(error_mm, NEAR_MM) / NEAR_MM) / math.log(far / NEAR_MM)
    return across[0] + (across[1] - across[0]) * share


def _rounds(far: float) -> list[float]:
    """One, two and five times the powers of ten from NEAR_MM to far."""
    decades = range(round(math.log10(NEAR_MM)), math.ceil(math.log10(far)) + 1)
    every = [n * 10.0**power for power in decades for n in (1, 2, 5)]
    return [error for error in every if NEAR_MM <= error <= far * (1 + 1e-9)]


def _round_up(value: float) -> float:
    """The end of a scale that holds a value."""
    return next(error for error in _rounds(max(20 * value, 20.0)) if error >= max(value, 1.0))


def _line(svg: ET.Element, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
    ends = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
    ET.SubElement(svg, "line", {name: f"{value:.1f}" for name, value in ends.items()} | {"class": kind})


def _text(svg: ET.Element, at: tuple[float, float], text: str, anchor: str) -> ET.Element:
    place = {"x": f"{at[0]:.1f}", "y": f"{at[1]:.1f}", "text-anchor": anchor}
    element = ET.SubElement(svg, "text", place)
    element.text = text
    return element
