"""Frozen values that everything else speaks in. Nothing here does I/O or imports anything but the standard library."""
