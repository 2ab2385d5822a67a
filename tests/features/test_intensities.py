import pytest
import torch
from support.problems import OBLIQUE, noise

from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import Volume
from graphreg.features.intensities import Intensities


def test_features_are_intensities_in_units_of_the_contrast():
    volume = Volume(Grid((1, 1, 3), (1.0, 2.0, 3.0)), torch.tensor([[[-1000.0, 0.0, 50.0]]]))
    found = Intensities()(volume, volume.data > 0)
    assert found.data.tolist() == [[[[-10.0, 0.0, 0.5]]]] and found.grid is volume.grid


def test_images_the_contrast_apart_differ_by_one(generator):
    volume = noise(OBLIQUE, generator)
    brighter = Volume(OBLIQUE, volume.data + 40)
    one, other = (Intensities(contrast=40.0)(v, v.data > 0).data for v in (volume, brighter))
    assert torch.allclose((one - other).square(), torch.ones(()), atol=1e-4)
    assert torch.equal(volume.data, noise(OBLIQUE, generator.manual_seed(20240)).data)  # which is left as it was


@pytest.mark.parametrize("contrast", [0.0, -1.0, float("nan")])
def test_a_contrast_that_is_not_positive_is_refused(contrast):
    with pytest.raises(InputError, match="contrast must be positive"):
        Intensities(contrast=contrast)
