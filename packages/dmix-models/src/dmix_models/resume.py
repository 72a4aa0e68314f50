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
import torch
from torch import Tensor, nn

from dmix_core.errors import DmixError
from dmix_core.files import write_atomically

logger = logging.getLogger(__name__)

RECORD = "state.json"


class ResumeError(DmixError):
    """A training that cannot go on where an earlier one stopped."""


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


# ---- what goes into a state -----------------------------------------------------------------------------------


def optimizer_tensors(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """An optimizer's state as named tensors: "<parameter>/<what>"."""
    return {
        f"{name}/{key}": value
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Set the state that `optimizer_tensors` gave."""
    parameters = dict(network.named_parameters())
    for key, value in tensors.items():
        name, what = key.rsplit("/", 1)
        # the fused step runs through memory: the moments must lie in it as their weights do
        like = parameters[name] if value.ndim else value
        optimizer.state[parameters[name]][what] = torch.empty_like(like, requires_grad=False).copy_(value)


def check_same(earlier: dict[str, object], now: dict[str, object], out: Path) -> None:
    """Refuse to go on with other settings or other data than the run began with."""
    before, after = flat(earlier), flat(now)
    changed = [key for key in before | after if before.get(key) != after.get(key)]
    if changed:
        shown = ", ".join(f"{key} was {before.get(key)}, is {after.get(key)}" for key in changed[:3])
        raise ResumeError(
            f"{str(out)!r} holds an earlier training with other settings ({shown}). "
            "Expected the same ones, to go on with it; train into a new folder otherwise."
        )


def flat(settings: dict[str, object]) -> dict[str, object]:
    """Nested settings with dotted keys."""
    leaves: dict[str, object] = {}
    for key, value in settings.items():
        leaves |= {f"{key}.{k}": v for k, v in flat(value).items()} if isinstance(value, dict) else {key: value}
    return leaves
