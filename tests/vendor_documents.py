"""The vendors' documents, where this checkout has them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portguard.catalogue.load import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portguard.model.flow import Catalogue

VARIABLE = "PORTGUARD_DOCUMENTS"
"""Environment variable with the folder of the documents, ``000_*.txt`` to ``004_*.txt``."""

BESIDE = Path(__file__).parents[2] / "shared" / "seeds"
"""Where they are when the project is checked out for development."""


@pytest.fixture(scope="session")
def shipped() -> Catalogue:
    """The catalogue as the package ships it."""
    return load()


@pytest.fixture(scope="session")
def documents(shipped: Catalogue) -> Mapping[str, list[str]]:
    """Lines of every document by its id; line 19 is ``[19 - 1]``. Missing documents are a failure in CI."""
    named = os.environ.get(VARIABLE)
    folder = Path(named) if named else BESIDE
    if not folder.is_dir():
        if named or os.environ.get("CI") == "true":
            pytest.fail(f"no folder {folder}: set {VARIABLE} to the folder of the vendors' documents")
        pytest.skip(f"no folder {folder} with the vendors' documents")
    found: dict[str, list[str]] = {}
    for document in shipped.documents:
        files = list(folder.glob(f"{document.id}_*.txt"))
        assert len(files) == 1, f"{folder} holds {len(files)} files of document {document.id}"
        # Not splitlines(): it also splits at characters that editors and citations do not count as line ends.
        found[document.id] = files[0].read_text(encoding="utf-8").split("\n")
    return found
