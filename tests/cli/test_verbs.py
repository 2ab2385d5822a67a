"""The verbs as a whole: where each lives, and what their help says of the library."""

from graphreg.anatomy.lung_ct.ventilation import VentilationConfig
from graphreg.cli import VERBS, names
from graphreg.io.exports import LAYOUTS
from graphreg.io.images import WRITABLE
from graphreg.presets import PRESETS
from graphreg.regularisers import REGULARISERS


def test_each_verb_lives_in_a_file_of_its_name():
    assert [verb.__module__ for verb in VERBS] == [f"graphreg.cli.{verb.__name__}" for verb in VERBS]


def test_what_help_tells_of_the_library_is_so():
    assert tuple(PRESETS) == names.PRESETS and tuple(REGULARISERS) == names.REGULARISERS
    assert names.WRITABLE == WRITABLE and names.LAYOUTS == LAYOUTS
    assert VentilationConfig().smoothing_mm == names.VENTILATION_SMOOTHING_MM
