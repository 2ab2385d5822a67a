"""Freed memory stays with the program, where the C library is glibc."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from graphreg.runtime.malloc import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_large_blocks_are_kept_for_the_next_ones():
    faults = {
        how: int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True).stdout)
        for how in ("keep", "leave")
    }
    assert 5 * faults["keep"] < faults["leave"]  # pages of the first block against those of all twenty
