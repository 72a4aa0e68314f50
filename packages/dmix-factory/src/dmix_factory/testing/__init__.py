"""For plugin authors: what an engine promises.

    from dmix_factory.testing import check_engine

    def test_it_is_an_engine():
        check_engine(MyEngine())

It needs hypothesis: `pip install "dmix-core[testing]"`.
"""

from dmix_core.testing import BrokenPromise

from .engine_checks import check_engine
from .toy_jobs import ToyJob, toy_job

__all__ = ["BrokenPromise", "ToyJob", "check_engine", "toy_job"]
