"""The core as a library: what the first lines of `core` show is true."""

import doctest

import core


def test_examples_of_the_package():
    failed, tried = doctest.testmod(core)
    assert tried > 10 and failed == 0


def test_the_examples_use_every_public_name():
    assert all(f"{name}" in (core.__doc__ or "").split("Vocabulary")[0] for name in core.__all__)
