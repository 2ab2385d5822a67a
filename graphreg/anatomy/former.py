"""Names that settings of TOML files had in version 0.5, which knew one anatomy."""

WINDOW = "window_hu"  # two intensities
FINDER = "mask"  # a table
BRIGHTEST = "brightest_hu"  # of keypoints; the window does it
NOISE = "noise_hu"  # of normalised intensities
