"""Record what the nft at hand lists for each of ``path_cases``: run as root, ``python tests/kernel/record_path_cases.py``.

It writes ``tests/path_cases.json``, which the unit tests read instead of a kernel. Recorded with Debian 12's nft; the kernel tests
hold every other one against it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from packets import Kernel

from path_cases import CASES, RECORDED


def main() -> None:
    """Load case after case into a namespace of its own, and keep the listings."""
    rows = []
    with Kernel(()) as kernel:
        for case in CASES:
            kernel.load(case.nft)
            rows.append(f"{json.dumps(case.name)}: {json.dumps(kernel.listing())}")
    RECORDED.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
