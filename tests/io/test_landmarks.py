import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphreg.core.records import Landmarks
from graphreg.io import (
    InputError,
    read_landmark_lists,
    read_landmarks,
    read_points,
    write_keypoints,
    write_landmarks,
    write_points,
)
from graphreg.io.landmarks import SCHEMA

POINT = [10.0, -20.0, 30.0]
millimetres = st.floats(-2000, 2000)
points = st.lists(st.tuples(millimetres, millimetres, millimetres), min_size=1, max_size=5)


def markups(point, **changes):
    controls = [{"position": point, "positionStatus": "defined"}, {"position": None, "positionStatus": "undefined"}]
    return json.dumps({"markups": [{"type": "Fiducial", "controlPoints": controls, **changes}]})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("header.csv", "x,y,z\n10,-20,30\n"),
        ("bare.csv", "10,-20,30\n\n"),
        ("marked.csv", "\ufefflabel, Z ,Y,X\nfirst,30,-20,10\n"),
        ("slicer-lps.csv", "label,l,p,s,defined\nF-1,10,-20,30,1\n"),
        ("slicer-ras.csv", "label,r,a,s,defined\nF-1,-10,20,30,1\n"),
        ("lps.fcsv", "# CoordinateSystem = LPS\n# columns = id,x,y,z,ow\n1,10,-20,30,0\n"),
        ("ras.fcsv", "# CoordinateSystem = RAS\n# columns = id,x,y,z,ow\n1,-10,20,30,0\n"),
        ("old.fcsv", "# Markups fiducial file version = 4.10\n# CoordinateSystem = 0\n1,-10,20,30,0\n"),
        ("default.mrk.json", markups(POINT)),
        ("lps.mrk.json", markups(POINT, coordinateSystem="LPS", coordinateUnits="mm")),
        ("ras.mrk.json", markups([-10, 20, 30], coordinateSystem="RAS")),
    ],
)
def test_every_point_list_gives_the_same_point_in_lps(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_points(tmp_path / name)
    assert found.tolist() == [POINT] and found.dtype == torch.float64


@pytest.mark.parametrize("name", ["points.csv", "points.fcsv", "points.mrk.json"])
@given(rows=points)
def test_reading_gives_back_the_points_written(folder, name, rows):
    expected = torch.tensor(rows, dtype=torch.float64)
    write_points(folder / name, expected)
    assert torch.allclose(read_points(folder / name), expected, rtol=0, atol=1e-6)


def test_a_markups_file_says_what_slicer_requires(tmp_path):
    write_points(tmp_path / "points.mrk.json", torch.tensor([POINT]))
    content = json.loads((tmp_path / "points.mrk.json").read_text(encoding="utf-8"))
    (markup,) = content["markups"]
    assert content["@schema"] == SCHEMA and SCHEMA.endswith("markups-schema-v1.0.3.json#")
    assert (markup["type"], markup["coordinateSystem"], markup["coordinateUnits"]) == ("Fiducial", "LPS", "mm")
    assert markup["controlPoints"][0]["position"] == POINT


def test_an_fcsv_file_says_that_it_is_lps_and_what_its_columns_are(tmp_path):
    write_points(tmp_path / "points.fcsv", torch.tensor([POINT]))
    _, system, columns, row = (tmp_path / "points.fcsv").read_text(encoding="utf-8").splitlines()
    assert system == "# CoordinateSystem = LPS"
    names, cells = columns.removeprefix("# columns = ").split(","), row.split(",")
    assert len(names) == len(cells)
    assert [float(cells[names.index(axis)]) for axis in "xyz"] == POINT


def test_pairs_are_found_by_the_names_of_their_columns(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("id,moving_z,moving_y,moving_x,fixed_x,fixed_y,fixed_z,confidence\n7,6,5,4,1,2,3,0.5\n")
    landmarks = read_landmarks(path)
    assert landmarks.fixed_mm.tolist() == [[1, 2, 3]] and landmarks.moving_mm.tolist() == [[4, 5, 6]]


def test_landmarks_written_are_read(tmp_path):
    landmarks = Landmarks(torch.tensor([[1.5, 2, 3]]), torch.tensor([[4.0, 5, 6.25]]))
    write_landmarks(tmp_path / "pairs.csv", landmarks)
    again = read_landmarks(tmp_path / "pairs.csv")
    assert again.fixed_mm.tolist() == [[1.5, 2, 3]] and again.moving_mm.tolist() == [[4, 5, 6.25]]


def test_keypoints_are_written_with_the_agreed_header_and_read_as_landmarks(tmp_path):
    path = tmp_path / "keypoints.csv"
    write_keypoints(path, torch.tensor([[1.0, 2, 3]]), torch.tensor([[4.0, 5, 6]]), torch.tensor([0.75]))
    header, row = path.read_text(encoding="utf-8").splitlines()
    assert header == "fixed_x,fixed_y,fixed_z,moving_x,moving_y,moving_z,confidence"
    assert [float(cell) for cell in row.split(",")] == [1, 2, 3, 4, 5, 6, 0.75]
    assert read_landmarks(path).moving_mm.tolist() == [[4, 5, 6]]


def test_two_lists_make_pairs_in_their_order_and_of_different_length_are_refused(tmp_path):
    write_points(tmp_path / "fixed.csv", torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
    write_points(tmp_path / "moving.fcsv", torch.tensor([[7.0, 8, 9], [0, 1, 2]]))
    landmarks = read_landmark_lists(tmp_path / "fixed.csv", tmp_path / "moving.fcsv")
    assert landmarks.fixed_mm[1].tolist() == [4, 5, 6] and landmarks.moving_mm[1].tolist() == [0, 1, 2]
    write_points(tmp_path / "fixed.csv", torch.zeros(2, 3))
    write_points(tmp_path / "moving.csv", torch.zeros(3, 3))
    with pytest.raises(InputError, match=r"moving.csv: 2 points as in .*fixed.csv needed, 3 found"):
        read_landmark_lists(tmp_path / "fixed.csv", tmp_path / "moving.csv")


def test_a_missing_file_a_folder_and_bytes_are_refused_and_an_unknown_kind_is_not_written(tmp_path):
    (tmp_path / "image.csv").write_bytes(bytes(range(128, 256)))
    for name, found in (("none.csv", "nothing"), ("", "a folder"), ("image.csv", "bytes that are not text")):
        with pytest.raises(InputError, match=f"{found} found"):
            read_points(tmp_path / name)
    with pytest.raises(InputError, match="a name ending in .csv, .fcsv, .mrk.json needed, 'points.txt' found"):
        write_points(tmp_path / "points.txt", torch.zeros(1, 3))
    assert not (tmp_path / "points.txt").exists()
