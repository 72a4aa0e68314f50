"""Training states on disk: whole or not at all, and nothing unpickled."""

import errno
import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError, model_validator
from safetensors import SafetensorError
from torch import Tensor, nn

from dmix_core.errors import DmixError, WriteError
from dmix_core.files import sync_folder, write_atomically
from dmix_data.augment import Augmentation

from .config import ModelConfig
from .metrics import Pending
from .migration import migrated

logger = logging.getLogger(__name__)

RECORD = "state.json"
PICTURES = "pictures"
GROUPS = ("network", "average", "optimizer")
SHOWN = 5  # names of pictures in a message
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Settings = dict[str, Any]
"""Nested settings, and under PICTURES the digest of each picture by its name."""


class ResumeError(DmixError):
    """A training that cannot go on where an earlier one stopped."""


class SaveError(DmixError):
    """A training that cannot write its files."""


class State(NamedTuple):
    """Where a training run stands."""

    step: int
    """How many steps are done."""
    tensors: dict[str, dict[str, Tensor]]
    """Groups of named tensors: those of GROUPS."""
    settings: Settings
    """What must not change on the way, as JSON has it."""
    pending: Pending = Pending()
    """What the next line of metrics.jsonl adds up."""
    made_with: dict[str, Any] = {}  # noqa: RUF012
    """On which the last bits depend, such as the number of threads."""


class Record(BaseModel):
    """The file state.json of a state; without `pending` and `made_with` in states of version 0.1."""

    model_config = ConfigDict(extra="forbid")

    step: NonNegativeInt
    sha256: dict[str, str]
    settings: dict[str, dict[str, Any]]
    pending: Pending = Pending()
    made_with: dict[str, Any] = {}

    @model_validator(mode="after")
    def _names_are_ours(self) -> Self:
        if not set(self.sha256) <= set(GROUPS):
            raise ValueError(f"sha256 names {sorted(self.sha256)}; expected {', '.join(GROUPS)}")
        if not all(isinstance(digest, str) for digest in self.settings.get(PICTURES, {}).values()):
            raise ValueError("the pictures' digests are not text")
        return self


def write_state(folder: Path, state: State, keep: int) -> Path:
    """Write a state below `folder` and remove all but the newest `keep`."""
    final = folder / f"state-{state.step:08d}"
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=f".{final.name}."))
    try:
        sums = {}
        for group, tensors in state.tensors.items():
            data = safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
            write_atomically(scratch / f"{group}.safetensors", data)
            sums[group] = hashlib.sha256(data).hexdigest()
        record = Record(
            step=state.step, sha256=sums, settings=state.settings, pending=state.pending, made_with=state.made_with
        )
        write_atomically(scratch / RECORD, record.model_dump_json(indent=2).encode())
        shutil.rmtree(final, ignore_errors=True)
        scratch.rename(final)
        sync_folder(folder)  # before an older one is removed
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    remove_states(folder, state.step, keep)
    return final


def remove_states(folder: Path, step: int, keep: int) -> None:
    """Remove all but the newest `keep` states up to `step`, each of them whole or not at all.

    Newer ones, which only damage leaves behind, don't count: the ones kept would not be those to go on from.
    """
    for old in [each for each in steps_in(folder) if each <= step][:-keep]:
        path = folder / f"state-{old:08d}"
        doomed = folder / f".{path.name}.removing"  # one of the names that `clear_scratch` knows
        path.rename(doomed)
        shutil.rmtree(doomed)


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
            f"Cannot write the files of step {step} to {str(out)!r}: {_refusal(error)}. {kept}. "
            f"{_remedy(reason, out, size)}; then run the same command again to go on from step "
            f"{steps[-1] if steps else 0}."
        ) from error


def _refusal(error: OSError | WriteError) -> str:
    """The system's reason, with the file where it is known."""
    reason = error.__cause__ if isinstance(error, WriteError) else error
    name = getattr(reason, "filename2", None) or getattr(reason, "filename", None)
    return f"{getattr(reason, 'strerror', None) or reason}{f' ({name})' if name else ''}"


def _remedy(reason: BaseException | None, out: Path, size: int) -> str:
    """What to do: make space where that is what lacks, otherwise look at the file."""
    if getattr(reason, "errno", None) not in FULL:
        return "Make the folder and its files writable"
    return (
        f"A checkpoint and a training state take {_megabytes(size)}, {_megabytes(free_bytes(out))} are free: "
        "free some space, or keep fewer states"
    )


def sizes_of(network: nn.Module) -> tuple[int, int]:
    """Bytes of a checkpoint and of a state, which holds the weights, their average and AdamW's two moments."""
    weights = sum(parameter.nbytes for parameter in network.parameters())
    return weights, 4 * weights


def check_space(out: Path, checkpoint: int, state: int, keep: int) -> None:
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
            f"{str(out)!r} has {_megabytes(free)} free; expected {_megabytes(needed)} for a checkpoint and "
            f"{states} training states. Free some space, keep fewer states, or choose another folder."
        )


def check_files(paths: Iterable[Path]) -> None:
    """Refuse to begin what could not be written later.

    Raises:
        SaveError: something else has the name of a file that will be written, or the system refuses the name.
    """
    for path in paths:
        try:
            os.lstat(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SaveError(
                f"The training will write {str(path)!r}, which the system refuses ({error.strerror}). "
                "Choose another folder, with a shorter name."
            ) from error
        if not path.is_file():
            raise SaveError(
                f"The training will write {str(path)!r}; expected a file or nothing there. "
                "Move it away, or choose another folder."
            )


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


SCRATCH = re.compile(
    r"\.checkpoint|\.("
    r"\.checkpoint|state-\d{8,12}|preview-\d{8,12}\.png|(verdict|memorisation)(-.+)?\.(json|png)"
    r"|metrics\.jsonl|report\.html|owner\.json|finished\.json"
    r")\.[a-z0-9_]{8}(\.dmix-part)?"
)
"""The temporary names under which a training writes and removes; the last part is mostly tempfile's."""


def clear_scratch(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left: files and folders of our temporary names alone."""
    for path in folder.glob(".*"):
        if not SCRATCH.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def steps_in(folder: Path) -> list[int]:
    """The steps of which there are states, complete by their names."""
    names = (re.fullmatch(r"state-(\d{8,12})", path.name) for path in folder.glob("state-*"))
    return sorted(int(name[1]) for name in names if name)


def newest_state(folder: Path) -> State | None:
    """The newest state below `folder` that is whole; damaged ones are passed over with a warning.

    Raises:
        ResumeError: there are states, and all of them are damaged.
    """
    steps = steps_in(folder)
    for step in reversed(steps):
        path = folder / f"state-{step:08d}"
        try:
            return _read_state(path, step)
        except (OSError, ValueError, SafetensorError) as error:
            logger.warning("The training state %s is damaged (%s).", path, _first_line(error))
    if steps:
        raise ResumeError(
            f"All {len(steps)} training states in {str(folder)!r} are damaged. Expected one to go on from. "
            "Remove them to begin anew, or train into a new folder, with this model as init to keep its weights."
        )
    return None


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False)[0]
        return f"{RECORD}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    return str(error).partition("\n")[0]


def _read_state(path: Path, step: int) -> State:
    record = Record.model_validate_json((path / RECORD).read_bytes())
    if record.step != step:
        raise ValueError(f"{RECORD} is of step {record.step}")
    sums = record.sha256
    tensors = {group: _read_tensors(path / f"{group}.safetensors", sums[group]) for group in sums}
    return State(step, tensors, record.settings, record.pending, record.made_with)


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{path.name} has another checksum than {RECORD} states")
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
    differing = [
        *changed_settings(migrated_settings(earlier), now),
        *changed_pictures(earlier.get(PICTURES, {}), now[PICTURES]),
    ]
    if differing:
        lines = "".join(f"\n  {each}" for each in differing)
        raise ResumeError(
            f"{str(out)!r} holds an earlier training with other settings:{lines}\n"
            "Expected the same ones, to go on with it. Train into a new folder otherwise; with this one as init, if "
            "what it has learned is to be kept."
        )


BEFORE = {"mask_target": "hard", "hold_out": 0.0, "patience": 0, "stop_at_copies": False}
"""What settings stood for in trainings that began before there were any."""


def migrated_settings(settings: Settings) -> Settings:
    """The settings that a state was saved with, as today's are written; those of a distillation have no `training`.

    A damaged part is compared as it is, and its differences are listed.
    """
    model = migrated(settings.get("model", {}))
    with suppress(ValidationError):
        model = ModelConfig.model_validate(model).model_dump(mode="json")
    if "training" not in settings:
        return {**settings, "model": model}
    training = BEFORE | settings["training"]
    with suppress(ValidationError):
        training["augment"] = Augmentation.model_validate(training.get("augment", {})).model_dump(mode="json")
    return {**settings, "training": training, "model": model}


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
    changes = [
        f"{len(each)} pictures {what}: {', '.join(each[:SHOWN])}{', ...' * (len(each) > SHOWN)}"
        for what, each in names.items()
        if each
    ]
    return changes or ["the pictures come in another order"] * ([*before] != [*after])


def flat(settings: Mapping[str, object]) -> dict[str, object]:
    """Nested settings with dotted keys."""
    leaves: dict[str, object] = {}
    for key, value in settings.items():
        leaves |= {f"{key}.{k}": v for k, v in flat(value).items()} if isinstance(value, dict) else {key: value}
    return leaves
