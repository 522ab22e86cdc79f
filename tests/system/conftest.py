"""`pytest --full`: a test that strikes at a few places strikes at all of them."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="every kill point and offset, in the place of a few")


@pytest.fixture(scope="session")
def full(request):
    return request.config.getoption("--full")
