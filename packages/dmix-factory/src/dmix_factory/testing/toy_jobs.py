"""Jobs without models, such as engines are tried on."""

import hashlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from dmix_data.generated_set import SampleEntry

from ..engines import EngineError, Job, Make
from ..generate_config import GenerateConfig
from ..planning import PlanRecord
from ..set_folder import FOLDERS
from ..sources import Background, Sources
from ..units import Unit


@dataclass(frozen=True)
class ToyJob(Job):
    """Makes files of a few bytes, and fails where it is asked to.

    Attributes:
        fails: the number of the record that cannot be made.
        kills: the number of the record that ends its process by SIGKILL when it is made for the first time.
        home: the process that is not to be ended; there, an EngineError is raised instead.
    """

    fails: int | None = None
    kills: int | None = None
    home: int = 0

    def worker(self) -> Make:
        return self._made

    def _made(self, record: PlanRecord) -> Unit:
        if record.number == self.fails:
            raise EngineError(f"Sample {record.number} cannot be made; it is not meant to.")
        if record.number == self.kills:
            self._kill(self.folder / "killed")
        return _unit(record)

    def _kill(self, mark: Path) -> None:
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return
        if os.getpid() == self.home:
            raise EngineError("The worker is the process that asks, which is not to be ended.")
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def toy_job(folder: Path, records: int, *, fails: int | None = None, kills: int | None = None) -> ToyJob:
    """A job of so many records, which writes to a folder of its own, new or empty."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    config = GenerateConfig.from_data({"backgrounds": "toy", "objects": ["toy"], "n": records})
    painted = (Background("toy", "toy", (16, 16)),)
    sources = Sources(backgrounds=painted, real=False, sizes=((4, 4),), masked=(True,), multiples=(None,))
    return ToyJob(config, sources, folder, fails=fails, kills=kills, home=os.getpid())


def whole(job: ToyJob) -> list[Unit]:
    """Every unit of a job, with the content of its files, made here."""
    return [_unit(record) for record in job.records(range(job.config.n))]


def _unit(record: PlanRecord) -> Unit:
    files = {f"{name}/{record.number:06d}.png": f"{name} of {record.seed}".encode() for name in FOLDERS}
    image, mask = files
    entry = SampleEntry(
        number=record.number,
        image=image,
        mask=mask,
        width=16,
        height=16,
        group=record.group,
        seed=record.seed,
        sha256={path: hashlib.sha256(data).hexdigest() for path, data in files.items()},
    )
    return Unit((entry,), files=files)
