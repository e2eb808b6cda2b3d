"""portguard keeps the documented ports of a print-management server open to exactly whom the vendor says."""

from __future__ import annotations

__version__ = "0.2.0"
