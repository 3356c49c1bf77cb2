"""One JupyterLab for all browser tests, a page a file, and no kernel left behind."""

import pytest
from lab import ARTEFACTS, chromium_page, jupyter, stop_kernels


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """What JupyterLab shows."""
    ARTEFACTS.mkdir(exist_ok=True)
    return tmp_path_factory.mktemp("some where else")


@pytest.fixture(scope="session")
def address(folder):
    with jupyter(folder) as address:
        yield address


@pytest.fixture(scope="module")
def new_page(address):
    with chromium_page(1280, 1100) as page:
        yield page
    stop_kernels(address)
