"""Optional data, or a skip that names them."""

import pytest

from helpers.optional import SHARED, absent


def shared_data(name):
    """Return the path of a file or folder of the optional reference data, or skip the test with the reason."""
    reason = absent(name)
    if reason:
        pytest.skip(reason)
    return SHARED / "data" / name
