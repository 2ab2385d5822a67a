"""The page of a study: made by hand from a coarse phantom and its exact motion."""

import json
import re
import shutil
import sys

import pytest
from support.pages import Page
from support.program import load, one_line, rows
from support.report_study import FAILURE, HOSTILE, NAMES, make_study

from graphreg.cli import main
from graphreg.io import InputError

pytest.importorskip("jinja2", reason="needs the extra [report]")
pytest.importorskip("PIL", reason="needs the extra [report]")
from graphreg.study.files import read_errors
from graphreg.study.report import FOLDERS, heading, shown, write_report  # noqa: E402  # after the skip
from graphreg.study.report_contents import contents_of
from graphreg.study.report_plots import Errors, box_plot, cumulative_plot  # noqa: E402  # after the skip


def page_of(study):
    """The text of the page of a study."""
    write_report(study, study / "report.html")
    return (study / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study folder with its page, which tests leave as it is."""
    folder = make_study(tmp_path_factory.mktemp("report"))
    before = sorted(folder.rglob("*"))
    write_report(folder, folder / "report.html")
    assert sorted(folder.rglob("*")) == sorted([*before, folder / "report.html"])
    return folder


@pytest.fixture
def study(made, tmp_path):
    """A study folder of its own, without the page."""
    shutil.copytree(made, tmp_path / "study", ignore=shutil.ignore_patterns("report.html"))
    return tmp_path / "study"


@pytest.fixture
def text(made):
    return (made / "report.html").read_text(encoding="utf-8")


def test_the_page_is_whole_and_small(text):
    page = Page(text)
    assert not page.open
    assert len(text) < 1_500_000 * len(NAMES)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_names_are_text_and_nothing_else_and_nothing_is_fetched(text):
    page = Page(text)
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert scripts == [{"type": "application/json"}] * len(NAMES) + [{}]
    assert HOSTILE in page.texts
    assert "<b>" not in text
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|fetch\(|XMLHttp", re.sub(r"base64,[\w+/=]+", "", text))
    places = ("src", "href", "srcset", "action", "data", "xlink:href")
    inside = [value for _, attributes in Page(text).tags for name, value in attributes.items() if name in places]
    assert inside
    assert all(value.startswith(("#", "data:")) for value in inside)
    policy = next(a["content"] for tag, a in Page(text).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_the_table_holds_the_numbers_of_the_results(made, text):
    cells = [cell for row in rows(made / "results.csv") for cell in row.values()]
    sortable = [cell for cell in Page(text).cells if cell[0] is not None]
    assert [value for value, _ in sortable] == cells
    for value, said in sortable:
        if re.fullmatch(r"[\d.]+", value):
            assert float(said) == pytest.approx(float(value), abs=5.1e-4)
        else:
            assert said == value


def test_every_case_has_its_pictures_points_and_worst_landmarks(text):
    page = Page(text)
    alts = [attributes.get("alt", "") for _, attributes in page.tags]
    assert page.count("layer") == 3 * len(NAMES) and page.count("checker") == len(NAMES)
    assert sum(alt.startswith("Axial surroundings") for alt in alts) == 10 * len(NAMES)
    assert sum(alt.startswith("Logarithm") for alt in alts) == len(NAMES)
    clouds = re.findall(r'<script type="application/json">(.*?)</script>', text)
    values = json.loads(clouds[0])["values"]
    assert len(values) == 6 * json.loads(clouds[0])["count"]
    labelled = {attributes.get("for") for tag, attributes in page.tags if tag == "label"}
    assert {a["id"] for tag, a in page.tags if tag == "input" and "id" in a} <= labelled


def test_paths_are_told_as_names(made, text):
    for part in ("patients of today", "patient smith", str(made.parent)):
        assert part not in text
    assert "fixed.nii.gz" in text
    assert "lost.nii.gz: an image needed, nothing found" in text
    assert FOLDERS.sub("", "see /a/b.nii and ../c/d.nii, N/A, 1 / 2") == "see b.nii and d.nii, N/A, 1 / 2"


def test_a_result_alone_is_a_page(made, tmp_path):
    folder = tmp_path / "result"
    shutil.copytree(made / "first", folder, ignore=shutil.ignore_patterns("errors.csv"))
    write_report(folder, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert ["0.123456", "0.123"] in page.cells
    assert page.count("layer") == 3
    assert not any(tag == "svg" for tag, _ in page.tags)


@pytest.mark.parametrize(("name", "said"), [("moving.nii.gz", "another one found"), (None, "nothing found")])
def test_images_that_are_gone_or_others_are_left_out(study, name, said):
    record = load(study / "first" / "registration.json")
    record["inputs"]["moving"] |= {"sha256": "0"} if name else {"path": "elsewhere/moving.nii.gz"}
    (study / "first" / "registration.json").write_text(json.dumps(record))
    text = page_of(study)
    assert f"Pictures are left out: moving.nii.gz: the image that was registered needed, {said}" in text
    assert Page(text).count("layer") == 6


def test_a_warped_image_that_is_gone_is_told_without_its_folder(study):
    (study / "first" / "warped.nii.gz").unlink()
    text = page_of(study)
    assert "Pictures are left out: warped.nii.gz: " in text
    assert str(study) not in text


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        ("first/errors.csv", lambda t: t.replace("\n", "\nall,1,2,three,4,5,6,7,8\n", 1), "numbers in mm in line 2"),
        ("first/errors.csv", lambda t: t.replace("\n", "\nall,1,2,nan,4,5,6,7,8\n", 1), "numbers in mm in line 2"),
        ("first/errors.csv", lambda t: t.replace("after_mm", "after"), "a header with landmark_set"),
        ("first/errors.csv", lambda t: "", "a header with"),
        ("results.csv", lambda t: t.replace("\n", "\nx,y\n", 1), "5 cells in line 2"),
        ("results.csv", lambda t: t.replace("count", "case"), "a header of different names"),
        ("results.csv", lambda t: t + "x\n", "5 cells in line 5"),
        ("summary.json", lambda t: t[:-1], "JSON needed"),
        ("summary.json", lambda t: "[1]", "a JSON object"),
        ("summary.json", lambda t: '{"errors": {"s": 1}}', "the summary of a study"),
        ("first/registration.json", lambda t: t[:9], "JSON needed"),
        ("first/keypoints.csv", lambda t: t.replace("\n", "\n1,2,3,4,5\n", 1), "in line 2"),
        ("study.json", lambda t: t.replace('"first"', '"../first"'), "folders of the study"),
        ("study.json", lambda t: t.replace('"name"', '"called"'), "cases that have names"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(study, capsys, file, edit, said):
    place = study / file
    place.write_text(edit(place.read_text(encoding="utf-8")), encoding="utf-8")
    assert place.name in one_line((main(["report", str(study)]), *capsys.readouterr()), said)
    assert not list(study.rglob("*report.html"))


def test_a_folder_of_something_else_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert main(["report", str(tmp_path / "none")]) == 2
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "page.txt")]) == 2
    assert capsys.readouterr().err.count("needed") == 3
    assert not list(tmp_path.iterdir())


def test_the_verb_writes_the_page(made, tmp_path, capsys, text):
    assert main(["report", str(made), "-o", str(tmp_path / "sub" / "page.html")]) == 0
    assert "page.html" in capsys.readouterr().out
    assert (tmp_path / "sub" / "page.html").read_text(encoding="utf-8") == text  # the same every time


def test_a_missing_extra_is_named(made, capsys, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("graphreg.study.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["report", str(made), "-o", str(tmp_path / "page.html")]) == 2
    assert capsys.readouterr().err == "graphreg: report needs jinja2: pip install graphreg[report]\n"


def test_numbers_and_headings_are_readable():
    values = ("1.23456", 7, "0.5", None, "0.000123", "text", [0.12345, 2], True, "nan")
    said = ["1.235", "7", "0.5", "", "0.00012", "text", "0.123, 2", "true", "nan"]
    assert [shown(value) for value in values] == said
    names = ("mean_mm", "folding_percent", "above_5_mm", "mm", "landmark_set")
    assert [heading(name) for name in names] == ["mean (mm)", "folding (%)", "above 5 mm", "mm", "landmark set"]


def test_the_curve_of_four_errors_by_hand_and_boxes_that_escape_names():
    """Errors 0.1, 1, 1, 10 on a scale of 0.1 to 10 mm, 52 to 624 pixels: a decade is half of it."""
    drawing = cumulative_plot("s", {"c": Errors([9.0, 9.0, 9.0, 9.0], [0.1, 1.0, 1.0, 10.0])})
    (points,) = re.findall(r'points="([^"]*)" class="curve after"', drawing)
    pairs = [tuple(map(float, pair.split(","))) for pair in points.split()]
    assert pairs[0] == pairs[1] == (52, 256)  # below the least error, and at it
    assert pairs[3] == (52 + 572 / 2, 135)  # half of them below the median
    assert pairs[-1] == (624, 14)
    assert re.findall(r">([\d.]+)</text>", drawing) == ["0.1", "0.2", "0.5", "1", "2", "5", "10"]
    drawing = box_plot("<i>", {HOSTILE: Errors([1.0], [0.0])})
    assert "<i>" not in drawing
    assert "<script" not in drawing


def test_errors_come_back_as_written(made):
    errors = read_errors(made / "first")["all & <b>"]
    study = contents_of(made)
    assert [case.name for case in study.cases] == list(NAMES)
    landmarks = study.cases[2].landmarks
    assert [mark.after_mm for mark in landmarks] == errors["after_mm"].tolist()
    assert landmarks[0].landmark_set == "all & <b>"
    assert study.failures == {"gone": FAILURE}


def test_a_study_without_anything_yet_is_a_page_and_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps({"cases": [{"name": "first"}]}))
    assert "no result" in page_of(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="a file found"):
        contents_of(tmp_path / "file")
