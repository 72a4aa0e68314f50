"""ONNX Runtime in torch's place, and models as files."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dmix_core.backends import Inputs
from dmix_core.errors import BackendError
from dmix_core.registry import Registry
from dmix_core.testing import GaussianDenoiser, check_backend
from dmix_core.testing.backend_checks import SmallNetwork
from dmix_models import ModelConfig, NetworkDenoiser, UNetConfig
from dmix_onnx import OnnxRuntime, write_model
from dmix_onnx.__main__ import main

README = Path(__file__).parents[1] / "README.md"
INPUTS = Inputs(4, (8, 8), 0, torch.device("cpu"), "float32")


def tiny():
    """A denoiser of every kind of layer, with weights that are nowhere zero."""
    network = UNetConfig(
        in_channels=4,
        out_channels=8,
        model_channels=8,
        channel_mult=(1, 2),
        num_res_blocks=1,
        norm_groups=4,
        attention_downsamples=(2,),
    )
    config = ModelConfig(
        name="tiny", role="object", size=(8, 8), mask_channels=1, variance="learned-range", network=network
    )
    torch.manual_seed(0)
    built = network.build().requires_grad_(False)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return NetworkDenoiser(config, built)


@pytest.fixture(scope="module")
def models():
    """A denoiser, and the same one in ONNX Runtime."""
    denoiser = tiny()
    return denoiser, denoiser.with_backend(OnnxRuntime())


@pytest.fixture(scope="module")
def written(models, tmp_path_factory):
    """The denoiser as a file: the way to a graph takes seconds."""
    return write_model(models[0], tmp_path_factory.mktemp("written") / "model.onnx")


def test_it_keeps_what_a_backend_promises():
    check_backend(OnnxRuntime(threads=1))


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("t", [1, 500, 1000])
def test_a_denoiser_predicts_as_in_torch(models, batch, t):
    plain, fast = models
    x = torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(t))
    for one, other in zip(plain(x, t), fast(x, t), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_each_image_may_have_a_time_of_its_own(models):
    plain, fast = models
    x, times = torch.randn(3, 4, 8, 8), torch.tensor([0, 9, 999])
    assert torch.allclose(plain.network(x, times), fast._running(x, times), atol=1e-4)


def test_the_backend_is_a_name_of_the_run():
    assert Registry.load().create("backend", "onnx", {"threads": 2}) == OnnxRuntime(threads=2)


def test_fewer_threads_than_none_are_refused():
    with pytest.raises(BackendError, match=r"threads is -1; expected 1 or more, or 0 for as many as torch uses"):
        OnnxRuntime(threads=-1)


def test_what_it_cannot_compute_in_is_refused():
    with pytest.raises(BackendError, match="computes in float32; dtype is bfloat16"):
        OnnxRuntime()(SmallNetwork(0), replace(INPUTS, dtype="bfloat16"))
    with pytest.raises(BackendError, match="computes on the CPU; the device is cuda"):
        OnnxRuntime()(SmallNetwork(0), replace(INPUTS, device=torch.device("cuda")))


def test_a_network_that_decides_by_values_is_refused():
    class Deciding(torch.nn.Module):
        def forward(self, x, times, labels=None):
            return x if x.sum() > 0 else -x

    with pytest.raises(BackendError, match=r"cannot be exported to ONNX \(.*the backend 'torch' runs every network"):
        OnnxRuntime()(Deciding(), INPUTS)


def test_a_network_made_for_one_number_of_images_is_refused():
    class Paired(torch.nn.Module):
        def forward(self, x, times, labels=None):
            return x.reshape(2, 4, 8, 8)

    with pytest.raises(BackendError, match=r"cannot be exported to ONNX"):
        OnnxRuntime()(Paired(), INPUTS)


def test_a_file_has_the_network_and_what_a_sampler_needs(models, written):
    import onnxruntime

    plain, _ = models
    session = onnxruntime.InferenceSession(written)
    x, times = torch.randn(3, 4, 8, 8), torch.tensor([7])
    (predicted,) = session.run(None, {"x": x.numpy(), "times": times.numpy()})
    assert torch.allclose(torch.from_numpy(predicted), plain.network(x, times), atol=1e-4)
    notes = session.get_modelmeta().custom_metadata_map
    assert ModelConfig.model_validate_json(notes["config"]) == plain.config
    assert json.loads(notes["alpha_bar"]) == plain.noise.alpha_bar.tolist()


def test_what_has_no_network_is_no_file(tmp_path):
    with pytest.raises(BackendError, match="GaussianDenoiser has no network to export"):
        write_model(GaussianDenoiser(tiny().spec, 0.0), tmp_path / "model.onnx")


def test_the_command_says_what_it_wrote_and_what_is_wrong(capsys, tmp_path):
    with pytest.raises(SystemExit, match=r"Error: .*nobody"):
        main(["nobody", str(tmp_path / "model.onnx")])


def test_the_readme_samples_without_torch(written):
    (code,) = re.findall(
        r"^```python\n(import json.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    without = "import sys\nsys.modules['torch'] = None\n" + code + "print(image.shape, float(abs(image).max()) <= 1)\n"
    command = [sys.executable, "-c", without]
    done = subprocess.run(command, cwd=written.parent, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "(1, 4, 8, 8) True", done.stderr
