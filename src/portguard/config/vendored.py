"""Libraries that the package for Debian 12 brings along, because Debian 12 has none or none new enough.

They stand in a directory of portguard's own, which no other program looks into. Importing this module makes them found;
only the child that validates a configuration does (:mod:`portguard.config.isolated`). What runs from a checkout, or from a
package that brings none, is left alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import portguard

PACKAGES = Path("/usr/lib/python3/dist-packages")
"""Where Debian's packages put modules: the vendored libraries are for a portguard that came with them."""
VENDOR = Path("/usr/lib/portguard/vendor")

if Path(portguard.__file__).parent.parent == PACKAGES and VENDOR.is_dir():
    # First: Debian 12 has a pydantic too, of another major version.
    sys.path.insert(0, str(VENDOR))
