"""``python -m portguard``."""

from __future__ import annotations

import sys

from portguard.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
