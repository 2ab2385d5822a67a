"""Signs against a result: each at its limit, and figures of pairs that are right or wrong by construction."""

from dataclasses import replace

import pytest
import torch
from support.problems import GOOD

from graphreg.analysis.agreement import local_ncc
from graphreg.anatomy.lung_ct import LungCT
from graphreg.anatomy.lung_ct.doubts import SIGNS
from graphreg.core.grid import Grid
from graphreg.core.records import Volume

GRID = Grid((24, 25, 26), (2.0, 2.0, 2.0))
DOUBTS = LungCT().doubts


def changed(**figures):
    """The figures of a right pair with others in their place, be they of any pair or of lungs alone."""
    lungs = {name: value for name, value in figures.items() if name in GOOD.anatomy}
    others = {name: value for name, value in figures.items() if name not in lungs}
    return replace(GOOD, anatomy={**GOOD.anatomy, **lungs}, **others)


# sign -> figures just within the limits, figures just beyond, what the reason names
LIMITS = {
    "not a lung": [
        ({"fixed_lung_median_hu": -400.0}, {"fixed_lung_median_hu": -399.0}, "fixed lungs have a median of -399 HU"),
        ({"moving_lung_median_hu": -980.0}, {"moving_lung_median_hu": -981.0}, "moving lungs have a median of -981 HU"),
        ({"fixed_lung_ml": 300.0}, {"fixed_lung_ml": 299.0}, "fixed lungs measure 299 ml"),
        ({"moving_lung_ml": 12000.0}, {"moving_lung_ml": 12001.0}, "moving lungs measure 12001 ml"),
        ({"fixed_lung_tissue_percent": 25.0}, {"fixed_lung_tissue_percent": 26.0}, "26 % of the fixed lung mask"),
    ],
    "not seen": [({"seen_percent": 97.0}, {"seen_percent": 96.0}, "only 96 % of the fixed lungs")],
    "not alike": [({"local_ncc": 0.6}, {"local_ncc": 0.59}, "local correlation 0.59")],
    "partly not alike": [({"matched_percent": 90.0}, {"matched_percent": 89.0}, "11 % of the fixed lungs")],
    "masks differ": [
        ({"mean_jacobian": 0.96}, {"mean_jacobian": 0.97}, "to 0.97 of their volume, but the masks differ by 0.80"),
        ({"mean_jacobian": 0.64}, {"mean_jacobian": 0.63}, "to 0.63 of their volume"),
        ({"mask_dice": 0.95}, {"mask_dice": 0.94}, "overlap 0.94"),
    ],
    "no better": [({"similarity_after": 0.751}, {"similarity_after": 0.75}, "(0.750) than before (0.750)")],
    "swapped": [
        (
            {"volume_ratio": 1.25, "mean_jacobian": 1.25},
            {"volume_ratio": 1.26, "mean_jacobian": 1.26},
            "1.26 times as large",
        )
    ],
}


def test_nothing_speaks_against_a_good_result_and_every_sign_has_its_limits_here():
    assert DOUBTS(GOOD) == ()
    assert list(LIMITS) == list(SIGNS)


@pytest.mark.parametrize("sign", LIMITS)
def test_a_sign_speaks_beyond_its_limit_and_alone(sign):
    for within, beyond, named in LIMITS[sign]:
        assert DOUBTS(changed(**within)) == ()
        (doubt,) = DOUBTS(changed(**beyond))
        assert doubt.sign == sign and named in doubt.reason and "\n" not in doubt.reason


def test_what_is_not_a_number_is_never_trusted():
    for name in ("local_ncc", "seen_percent", "mask_dice", "mean_jacobian", "fixed_lung_median_hu", "similarity_after"):
        assert DOUBTS(changed(**{name: float("nan")})), name


@pytest.fixture
def texture(generator):
    return Volume(GRID, 200 * torch.randn(GRID.shape, generator=generator))


def test_local_correlation_knows_an_image_its_negative_and_what_has_nothing_in_common(texture, generator):
    mask = torch.zeros(GRID.shape, dtype=torch.bool)
    mask[4:20, 4:20, 4:20] = True
    other = Volume(GRID, -2 * texture.data + 50)
    torch.testing.assert_close(local_ncc(texture, texture, mask), mask.float())
    assert local_ncc(texture, other, mask)[mask].amax() < -0.99  # -1 but for the noise that counts for little
    assert not local_ncc(texture, other, mask)[~mask].any()
    mask = torch.ones(GRID.shape, dtype=torch.bool)
    other = Volume(GRID, 200 * torch.randn(GRID.shape, generator=generator))
    assert local_ncc(texture, other, mask).abs().amax() < 0.35 and local_ncc(texture, other, mask).abs().mean() < 0.05


def test_local_correlation_tells_where(texture, generator):
    mask = torch.ones(GRID.shape, dtype=torch.bool)
    data = texture.data.clone()
    data[..., 13:] = 200 * torch.randn(data[..., 13:].shape, generator=generator)
    found = local_ncc(texture, Volume(GRID, data), mask, around_mm=4.0)
    assert found[..., :8].amin() > 0.9 and found[..., 18:].amax() < 0.5


def test_local_correlation_needs_one_grid(texture):
    elsewhere = Volume(Grid(GRID.shape, (1.0, 2.0, 2.0)), texture.data)
    for wrong in ((texture, elsewhere, torch.ones(GRID.shape)), (texture, texture, torch.ones(2, 2, 2))):
        with pytest.raises(ValueError, match="one grid"):
            local_ncc(*wrong)
