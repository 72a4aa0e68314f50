"""Two real processes learn what one does: the same gradients, each picture once, and one of them writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from dmix_data.batches import Batches
from dmix_models.trainer import TrainConfig
from dmix_models.training_setup import train_object

SCRIPT = '''
import json, os, sys
from pathlib import Path

tests, folder, out, settings = sys.argv[1:]
sys.path.insert(0, tests)
changes = []

def note(event, arguments):
    """What Python asks of the system is reported to audit hooks before it is done."""
    writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event.split(".")[0] in ("os", "shutil", "tempfile"):
        paths = [os.path.abspath(each) for each in arguments if isinstance(each, (str, os.PathLike))]
        if event != "os.listdir" and event != "os.scandir" and any(path.startswith(out) for path in paths):
            changes.append([event, *map(str, paths)])

sys.addaudithook(note)
from test_processes import seen_of
seen = seen_of(folder, out, settings)
seen.gradients_to(f"{out}-gradients-{os.environ['RANK']}.safetensors")
facts = {"losses": seen.losses, "items": seen.items, "changes": changes}
Path(f"{out}-{os.environ['RANK']}.json").write_text(json.dumps(facts))
'''


class Seen:
    """What one process saw: of each step the items, and the gradients of the first one."""

    def __init__(self):
        self.items, self.losses, self.gradients = [], [], None

    def gradients_to(self, path):
        save_file({str(number): gradient for number, gradient in enumerate(self.gradients)}, path)


def seen_of(folder, out, settings):
    """Train, and note what is learned from and with which gradients before they are clipped."""
    seen, config = Seen(), TrainConfig.model_validate_json(settings)
    make, clip = Batches.__call__, torch.nn.utils.clip_grad_norm_
    made = {}  # threads make batches, in no order

    def noted_batch(batches, step, rows=None):
        if step < config.steps:  # one more is made, that nobody learns from
            made[step] = [batches._item(step * batches.batch_size + row) for row in rows]
        return make(batches, step, rows)

    def noted_clip(parameters, limit):
        parameters = list(parameters)
        seen.gradients = seen.gradients or [each.grad.clone().contiguous() for each in parameters]
        return clip(parameters, limit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "__call__", noted_batch)
        patch.setattr(torch.nn.utils, "clip_grad_norm_", noted_clip)
        seen.losses = [step.loss for step in train_object(folder, out, config, size=(16, 16))]
    seen.items = [made[step] for step in sorted(made)]
    return seen


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    """Eight pictures of a disc with their masks."""
    folder = tmp_path_factory.mktemp("discs")
    y, x = np.mgrid[:32, :32]
    for number in range(8):
        disc = (y - 10 - number) ** 2 + (x - 16) ** 2 < 16
        Image.fromarray((60 + 140 * disc + number).astype(np.uint8)).save(folder / f"{number}.jpg", quality=95)
        Image.fromarray((255 * disc).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory, discs):
    """The folder of a training by two processes, what each of them saw, and the same of one process alone."""
    folder = tmp_path_factory.mktemp("runs")
    cadence = {"save_every": 2, "preview_samples": 1, "preview_steps": 1, "log_every": 1, "mixed_precision": "no"}
    config = TrainConfig(steps=4, batch_size=4, learning_rate=1e-3, warmup=2, augment={"flips": "both"}, **cadence)
    (folder / "script.py").write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [folder / "script.py", Path(__file__).parent, discs, folder / "two", config.model_dump_json()]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    both = [json.loads((folder / f"two-{rank}.json").read_text()) for rank in range(2)]
    return folder, both, seen_of(discs, folder / "one", config.model_dump_json())


def test_the_averaged_gradients_are_those_of_one_process(runs):
    folder, _, alone = runs
    first, second = (load_file(f"{folder}/two-gradients-{rank}.safetensors") for rank in range(2))
    scale = max(gradient.abs().max() for gradient in alone.gradients)
    assert scale > 0.01
    for number, gradient in enumerate(alone.gradients):
        assert torch.equal(first[str(number)], second[str(number)])
        torch.testing.assert_close(first[str(number)], gradient, rtol=1e-4, atol=1e-6 * scale.item())


def test_two_processes_learn_what_one_does(runs):
    folder, both, alone = runs
    assert both[0]["losses"] == both[1]["losses"] == pytest.approx(alone.losses, rel=1e-4)
    together, single = load_file(folder / "two/model.safetensors"), load_file(folder / "one/model.safetensors")
    assert all(torch.allclose(together[key], single[key], atol=1e-4) for key in single)


def test_each_picture_is_seen_once_per_epoch_by_one_of_them(runs):
    _, both, alone = runs
    first, second = (each["items"] for each in both)
    for step, items in enumerate(alone.items):
        assert sorted(first[step] + second[step]) == sorted(items)
    for epoch in (slice(0, 2), slice(2, 4)):  # of two steps with four pictures
        parts = [[item for items in each[epoch] for item in items] for each in (first, second)]
        assert [len(part) for part in parts] == [4, 4]
        assert sorted(parts[0] + parts[1]) == list(range(8))


def test_only_the_first_process_writes(runs):
    _, both, _ = runs
    written = {Path(path).name for _, *paths in both[0]["changes"] for path in paths}
    assert {"model.safetensors", "state-00000004", "preview-00000004.png", "metrics.jsonl"} <= written
    assert both[1]["changes"] == []
