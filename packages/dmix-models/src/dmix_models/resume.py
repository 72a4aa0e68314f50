"""Training states on disk: whole or not at all, and nothing unpickled."""

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn

from dmix_core.errors import DmixError, WriteError
from dmix_core.files import sync_folder, write_atomically

logger = logging.getLogger(__name__)

RECORD = "state.json"
PICTURES = "pictures"
SHOWN = 5  # names of pictures in a message

Settings = dict[str, Any]
"""Nested settings, and under PICTURES the digest of each picture by its name."""


class ResumeError(DmixError):
    """A training that cannot go on where an earlier one stopped."""


class SaveError(DmixError):
    """A training that has no room for what it writes."""


class State(NamedTuple):
    """Where a training run stands."""

    step: int
    """How many steps are done."""
    tensors: dict[str, dict[str, Tensor]]
    """Groups of named tensors, such as "network" and "optimizer"."""
    settings: Settings
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
        sync_folder(folder)  # before an older one is removed
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for old in sorted(folder.glob("state-*"))[:-keep]:
        shutil.rmtree(old)
    return final


@contextmanager
def saving(out: Path, step: int, size: int) -> Iterator[None]:
    """Explain why the files of a step cannot be written.

    Args:
        size: bytes of a checkpoint and a state.

    Raises:
        SaveError: instead of the system's refusal.
    """
    try:
        yield
    except (OSError, WriteError) as error:
        reason = error.__cause__ if isinstance(error, WriteError) else error
        steps = steps_in(out / "training")
        kept = f"The state of step {steps[-1]} is as it was" if steps else "Nothing was saved before"
        raise SaveError(
            f"Cannot write the files of step {step} to {str(out)!r} ({getattr(reason, 'strerror', None) or reason}): "
            f"a checkpoint and a training state take {_megabytes(size)}, {_megabytes(free_bytes(out))} are free. "
            f"{kept}. Make room there, or keep fewer states; then run the same command again to go on from step "
            f"{steps[-1] if steps else 0}."
        ) from error


def check_room(out: Path, checkpoint: int, state: int, keep: int) -> None:
    """Refuse to begin what cannot be saved: a checkpoint, `keep` states and the one that takes the oldest's place.

    Args:
        checkpoint, state: their sizes in bytes.

    Raises:
        SaveError: less is free.
    """
    states = max(1, keep + 1 - len(steps_in(out / "training")))
    needed, free = checkpoint + states * state, free_bytes(out)
    if free < needed:
        raise SaveError(
            f"{str(out)!r} has room for {_megabytes(free)}; expected {_megabytes(needed)} for a checkpoint and "
            f"{states} training states. Make room there, keep fewer states, or choose another folder."
        )


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def clear_scratch(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left."""
    for path in folder.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def steps_in(folder: Path) -> list[int]:
    """The steps of which there are states, complete by their names."""
    return sorted(int(path.name.removeprefix("state-")) for path in folder.glob("state-*"))


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


def check_same(earlier: Settings, now: Settings, out: Path) -> None:
    """Refuse to go on with other settings or other pictures than the run began with.

    Raises:
        ResumeError: naming each setting that differs, and the pictures.
    """
    differing = [*changed_settings(earlier, now), *changed_pictures(earlier[PICTURES], now[PICTURES])]
    if differing:
        lines = "".join(f"\n  {each}" for each in differing)
        raise ResumeError(
            f"{str(out)!r} holds an earlier training with other settings:{lines}\n"
            "Expected the same ones, to go on with it. Train into a new folder otherwise; with this one as init, if "
            "what it has learned is to be kept."
        )


def changed_settings(earlier: Settings, now: Settings) -> list[str]:
    """What each setting that differs was and is."""
    before, after = flat(earlier), flat(now)
    values = {key: (before.get(key, "not set"), after.get(key, "not set")) for key in before | after}
    return [
        f"{key} was {was}, is {this}"
        for key, (was, this) in values.items()
        if was != this and not key.startswith(f"{PICTURES}.")
    ]


def changed_pictures(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """How the pictures differ, which are given as digests by their names."""
    removed, added = (
        {name: one[name] for name in one if name not in other} for one, other in ((before, after), (after, before))
    )
    renamed = {*removed.values()} & {*added.values()}
    names = {
        "added": [name for name, digest in added.items() if digest not in renamed],
        "removed": [name for name, digest in removed.items() if digest not in renamed],
        "renamed": [name for name, digest in removed.items() if digest in renamed],
        "changed": [name for name in before if after.get(name, before[name]) != before[name]],
    }
    told = [
        f"{len(each)} pictures {what}: {', '.join(each[:SHOWN])}{', ...' * (len(each) > SHOWN)}"
        for what, each in names.items()
        if each
    ]
    return told or ["the pictures come in another order"] * ([*before] != [*after])


def flat(settings: Mapping[str, object]) -> dict[str, object]:
    """Nested settings with dotted keys."""
    leaves: dict[str, object] = {}
    for key, value in settings.items():
        leaves |= {f"{key}.{k}": v for k, v in flat(value).items()} if isinstance(value, dict) else {key: value}
    return leaves
