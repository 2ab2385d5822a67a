"""Names and numbers of the library that help texts tell, so that help need not load the library. A test compares."""

from enum import StrEnum

PRESETS = ("inhale-exhale", "fast")
DEFAULT = PRESETS[0]
REGULARISERS = ("graphregnet", "belief-propagation", "mean-field", "none")
WRITABLE = (".nii.gz", ".nii", ".mha", ".nrrd")  # images
LAYOUTS = ("itk", "ants", "slicer", "learn2reg")  # of fields, for other programs
POINTS = "points"  # the layout of what is no field
VENTILATION_SMOOTHING_MM = 4.0  # what VentilationConfig takes


class Phase(StrEnum):
    """Which breathing state the fixed image shows."""

    AUTO = "auto"
    INHALE = "fixed-inhale"
    EXHALE = "fixed-exhale"
