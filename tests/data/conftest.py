"""Six videos that all tests of this folder share: never change them, copy them."""

import pytest
from numbered import write_videos


@pytest.fixture(scope="session")
def paths(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("videos"))
