"""``python -m tff_core.cli``, the same as ``tff``."""

import sys

from tff_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
