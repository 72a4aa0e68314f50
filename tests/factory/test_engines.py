"""Engines: what each promises, and how lost workers and failing samples are told."""

import pytest
from dmix_factory.pool import Processes
from dmix_factory.testing import check_engine


def test_processes_keep_the_promises_of_an_engine():
    check_engine(Processes())
