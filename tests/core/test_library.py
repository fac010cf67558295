"""The core as a library: what the first lines of `core` show is true. In a process that has no core but this one."""

from commands import python
from joint_diffusion import core

EXAMPLES = "import doctest, core; print(*doctest.testmod(core))"


def test_examples_of_the_package():
    done = python("-c", EXAMPLES)
    assert done.returncode == 0, done.stderr
    failed, tried = map(int, done.stdout.split()[-2:])
    assert tried > 10
    assert failed == 0, done.stdout


def test_the_examples_use_every_public_name():
    assert all(name in (core.__doc__ or "") for name in core.__all__)
