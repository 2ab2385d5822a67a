"""Freed memory stays with the program, where the C library is glibc."""

import platform
import subprocess
import sys

import pytest

SHARE = """
import sys, torch
from pathlib import Path
from graphreg.runtime.malloc import keep_freed_memory
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])
if sys.argv[1] == "keep":
    keep_freed_memory()
before = resident()
block = torch.ones(1 << 25)
taken = resident() - before
del block
print((resident() - before) / taken)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_large_blocks_are_kept_for_the_next_ones():
    kept, left = (
        float(subprocess.run([sys.executable, "-c", SHARE, how], capture_output=True, check=True, text=True).stdout)
        for how in ("keep", "leave")
    )
    assert kept > 0.8 > 0.2 > left  # of the 128 MiB of a block that was freed
