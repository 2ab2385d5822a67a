"""The verbs as a whole: where each lives, and what their help says of the library."""

import pytest

from graphreg.anatomy.lung_ct.ventilation import VentilationConfig
from graphreg.cli import VERBS, main, names
from graphreg.io.exports import LAYOUTS
from graphreg.io.images import WRITABLE
from graphreg.presets import PRESETS
from graphreg.regularisers import REGULARISERS


def test_each_verb_lives_in_a_file_of_its_name():
    assert [verb.__module__ for verb in VERBS] == [f"graphreg.cli.{verb.__name__}" for verb in VERBS]


@pytest.mark.parametrize(
    ("verb", "lungs"), [("register", False), ("evaluate", False), ("jacobian", True), ("ventilation", True)]
)
def test_masks_are_of_lungs_where_the_verb_is(verb, lungs, capsys):
    assert main([verb, "--help"]) == 0
    told = capsys.readouterr().out
    assert ("Lungs of FIXED" in told, "Region of FIXED" in told) == (lungs, not lungs)


def test_what_help_tells_of_the_library_is_so():
    assert tuple(PRESETS) == names.PRESETS and tuple(REGULARISERS) == names.REGULARISERS
    assert names.WRITABLE == WRITABLE and names.LAYOUTS == LAYOUTS
    assert VentilationConfig().smoothing_mm == names.VENTILATION_SMOOTHING_MM
