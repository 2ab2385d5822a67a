"""``python -m graphreg`` is the program ``graphreg``."""

import sys

from graphreg.cli import main

if __name__ == "__main__":
    sys.exit(main())
