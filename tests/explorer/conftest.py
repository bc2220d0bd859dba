"""What the explorer's tests share."""

from pathlib import Path

import pytest

from explorer.app.catalogue import Catalogue


@pytest.fixture(scope="session")
def catalogue(tiny_bundle: Path) -> Catalogue:
    """A catalogue of the one tiny model."""
    return Catalogue.of([str(tiny_bundle)])
