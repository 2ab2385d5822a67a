"""What is worked on at once is at least one row, and no more numbers than the device suits."""

import pytest
import torch

from graphreg.runtime.chunks import CACHED, FILLING, rows


@pytest.mark.parametrize(("device", "numbers"), [("cpu", CACHED), ("cuda", FILLING)])
def test_rows_fill_what_suits_the_device(device, numbers):
    assert rows(1000, torch.device(device)) == numbers // 1000


def test_a_row_that_is_too_wide_is_worked_on_alone():
    assert rows(10 * FILLING, torch.device("cpu")) == 1
    assert rows(0, torch.device("cpu")) == CACHED
