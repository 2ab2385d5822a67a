"""What a record tells of the registration that it is of, and what another needs of it."""

import json

import pytest
import torch
from support.problems import SMALL

from graphreg.anatomy import Body, LungCT, Whole
from graphreg.anatomy.lung_ct.mask import LungFinder
from graphreg.anatomy.whole import Everything
from graphreg.anatomy.windows import FixedWindow
from graphreg.config import as_record
from graphreg.core.errors import InputError
from graphreg.core.records import Volume
from graphreg.runs.identity import anatomy_of, is_same, value_outside

VOLUME = Volume(SMALL, torch.arange(SMALL.voxels, dtype=torch.float32).reshape(SMALL.shape) - 7)  # -7 is its smallest


@pytest.mark.parametrize(
    "anatomy",
    [
        LungCT(outside=-1000.0, find=LungFinder(closing_mm=5.0)),
        Body(find=Everything(), picture_window=FixedWindow(low=0.0, high=5.0)),
        Whole(outside=3.5),
    ],
)
def test_the_anatomy_of_a_record_has_the_settings_that_it_had(anatomy, tmp_path):
    record = {"configuration": {"anatomy": as_record(anatomy)}}
    assert anatomy_of(record) == anatomy
    (tmp_path / "registration.json").write_text(json.dumps(record))
    assert value_outside(tmp_path / "transform.h5", VOLUME) == anatomy.value_outside(VOLUME)


def test_without_a_record_the_smallest_value_lies_outside_and_records_before_0_6_are_of_lungs(tmp_path):
    assert value_outside(tmp_path / "transform.h5", VOLUME) == -7
    (tmp_path / "registration.json").write_text('{"graphreg": "0.5.0", "configuration": {"window_hu": [-1000, 200]}}')
    assert value_outside(tmp_path / "transform.h5", VOLUME) == -1024


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "the record of a registration with its configuration needed, another found"),
        ('{"configuration": 3}', "the record of a registration with its configuration needed, another found"),
        ('{"configuration": {"anatomy": null}}', "anatomy must be a name or a table, got None"),
        ('{"configuration": {"anatomy": {"kind": "my.Own"}}}', "anatomy must be one of lung-ct, .*got 'my.Own'"),
        ('{"configuration": {"anatomy": {"kind": "body", "outside": "0"}}}', "anatomy.outside must be of type float"),
        ('{"configuration": {"anatomy": {"kind": "body", "outside": NaN}}}', "anatomy.outside must be finite"),
    ],
)
def test_a_record_that_cannot_be_used_is_named_in_one_line(tmp_path, text, told):
    (tmp_path / "registration.json").write_text(text)
    with pytest.raises(InputError, match=f"^.*registration.json: {told}[^\n]*$"):
        value_outside(tmp_path / "transform.h5", VOLUME)


def test_results_of_bodies_found_in_another_way_are_not_the_same():
    one, other = ({"configuration": {"anatomy": as_record(way)}} for way in (Body(), Body(find=Everything())))
    assert is_same(one, one) and not is_same(one, other)
