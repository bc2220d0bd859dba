"""Fixtures of the explorer tests."""

from pathlib import Path

import pytest

from explorer.app.catalogue import Catalogue


@pytest.fixture(scope="session")
def catalogue(tiny_bundle: Path) -> Catalogue:
    """A catalogue with only the tiny model."""
    return Catalogue.of([str(tiny_bundle)])
