"""Training states on disk: whole or not at all, and nothing unpickled."""

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
from torch import Tensor

from dmix_core.files import write_atomically

logger = logging.getLogger(__name__)

RECORD = "state.json"


class State(NamedTuple):
    """Where a training run stands."""

    step: int
    """How many steps are done."""
    tensors: dict[str, dict[str, Tensor]]
    """Groups of named tensors, such as "network" and "optimizer"."""
    settings: dict[str, object]
    """What must not change on the way, as JSON has it."""


def write_state(folder: Path, state: State, keep: int) -> Path:
    """Write a state below `folder` and remove all but the newest `keep`."""
    final = folder / f"state-{state.step:08d}"
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".state-"))
    try:
        sums = {}
        for group, tensors in state.tensors.items():
            data = safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
            write_atomically(scratch / f"{group}.safetensors", data)
            sums[group] = hashlib.sha256(data).hexdigest()
        record = {"step": state.step, "sha256": sums, "settings": state.settings}
        write_atomically(scratch / RECORD, json.dumps(record, indent=2).encode())
        shutil.rmtree(final, ignore_errors=True)
        scratch.rename(final)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for old in sorted(folder.glob("state-*"))[:-keep]:
        shutil.rmtree(old)
    return final


def newest_state(folder: Path) -> State | None:
    """The newest state below `folder` that is complete; damaged ones are passed over with a warning."""
    return next(_valid_states(folder), None)


def _valid_states(folder: Path) -> Iterator[State]:
    for path in sorted(folder.glob("state-*"), reverse=True):
        try:
            yield _read_state(path)
        except (OSError, ValueError, KeyError) as error:
            logger.warning("The training state %s is damaged (%s); trying an older one.", path, error)


def _read_state(path: Path) -> State:
    record = json.loads((path / RECORD).read_bytes())
    sums = record["sha256"]
    tensors = {group: _read_tensors(path / f"{group}.safetensors", sums[group]) for group in sums}
    return State(record["step"], tensors, record["settings"])


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{path.name} has another checksum than {RECORD} says")
    return safetensors.torch.load(data)
