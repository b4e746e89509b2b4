"""Courses of registries made by hand, closed when the test is over."""

import pytest
from knee_files import hand_made


@pytest.fixture
def made(tmp_path):
    """Return a function that takes knees (:class:`knee_files.Knee`) to the courses of a registry of them."""
    opened = []

    def courses(knees):
        opened.append(hand_made(tmp_path, knees))
        return opened[-1].courses()

    yield courses
    for registry in opened:
        registry.close()
