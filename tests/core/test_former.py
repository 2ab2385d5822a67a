"""What programs of version 0.5 import and call still works, with a warning each."""

import importlib
import subprocess
import sys
from typing import Any

import pytest

from graphreg.core.errors import InputError
from graphreg.core.former import MODULES, called_as_before
from graphreg.pipeline import register


@pytest.mark.parametrize("name", MODULES)
def test_every_former_module_can_be_imported_and_its_homes_are_there(name):
    module = importlib.import_module(f"graphreg.{name}")
    assert all(importlib.import_module(f"graphreg.{home}") for home in MODULES[name])
    assert not hasattr(module, "unheard_of")


PROGRAM = """
import warnings
warnings.simplefilter("always")
import {module}
with warnings.catch_warnings(record=True) as told:
    found = {module}.{name}
    again = {module}.{name}
assert found is again and [each.category for each in told] == [DeprecationWarning], told
print(found.__module__, found.__name__)
"""


@pytest.mark.parametrize(
    ("module", "name", "today"),
    [
        ("graphreg.grid", "Grid", "graphreg.core.grid Grid"),
        ("graphreg.records", "Quality", "graphreg.core.figures Quality"),
        ("graphreg.stages.spline", "SplineConfig", "graphreg.interpolation.thin_plate ThinPlate"),
        ("graphreg.stages.refinement", "Descent", "graphreg.refinement.descent Minimum"),
        ("graphreg.analysis.field", "compose", "graphreg.core.fields compose"),
        ("graphreg.objectives", "FeatureConfig", "graphreg.refinement.feature_difference Comparison"),
        ("graphreg.io.errors", "InputError", "graphreg.core.errors InputError"),
        ("graphreg.devices", "choose_device", "graphreg.runtime.devices choose_device"),
    ],
)
def test_a_former_module_is_an_attribute_of_its_package_and_warns_once_of_a_name(module, name, today):
    program = PROGRAM.format(module=module, name=name)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (today, "")


def test_the_pair_may_be_named_and_the_preset_come_second():
    def called(fixed, moving=None, *, preset="usual"):
        return fixed, moving, preset

    before: Any = called_as_before(called)
    former: Any = register
    assert before("pair") == ("pair", None, "usual") and before("one", 2) == ("one", 2, "usual")
    with pytest.warns(DeprecationWarning, match="pair first"):
        assert before(pair="pair", preset="fast") == ("pair", None, "fast")
    with pytest.warns(DeprecationWarning, match="preset by its name"):
        assert before("pair", "fast") == ("pair", None, "fast")
    with pytest.warns(DeprecationWarning, match="pair first"), pytest.raises(InputError):
        former(pair="no pair")
