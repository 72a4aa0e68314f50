"""A user's own features: what the network is given, what is taken from it, and what is refused."""

import json
import sys
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from dmix_cli.main import main
from dmix_eval import evaluation, set_distances, two_sample
from dmix_eval.features import FeaturesError, OnnxFeatures
from dmix_eval.kernel_distance import kid
from dmix_eval.photographs import generated_photographs
from dmix_eval.specimens import generated_specimens

onnx = pytest.importorskip("onnx", reason="onnx, which writes the files of these tests, is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed; pip install 'dmix-eval[features]'")

FLOAT = onnx.TensorProto.FLOAT
SIDES = ("batch", 1, "height", "width")


def written(path, nodes, given=SIDES, weights=(), kind=FLOAT, outputs=("y",)):
    """A network from x to y, of the operations (name, inputs, outputs, attributes)."""
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(name, inputs, made, **attributes) for name, inputs, made, attributes in nodes],
        "features",
        [onnx.helper.make_tensor_value_info("x", kind, given)],
        [onnx.helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [onnx.numpy_helper.from_array(values, name) for name, values in weights],
    )
    opset = [onnx.helper.make_opsetid("", 13)]
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    return path


def passed_on(path, given=SIDES, **changes):
    """A network that gives the windows themselves, of which the mean over places is taken."""
    return written(path, [("Identity", ["x"], ["y"], {})], given, **changes)


def flattened(path, given=SIDES):
    return written(path, [("Flatten", ["x"], ["y"], {"axis": 1})], given)


@pytest.fixture
def edges(tmp_path):
    """Eight random convolutions, rectified, and their means over places."""
    weights = np.random.default_rng(0).normal(size=(8, 1, 5, 5)).astype(np.float32)
    nodes = [
        ("Conv", ["x", "w"], ["a"], {}),
        ("Relu", ["a"], ["b"], {}),
        ("ReduceMean", ["b"], ["y"], {"axes": [2, 3], "keepdims": 0}),
    ]
    return written(tmp_path / "edges.onnx", nodes, weights=[("w", weights)])


def windows(count=3, height=6, width=9):
    return torch.arange(count * height * width).remainder(256).to(torch.uint8).view(count, 1, height, width)


def test_windows_are_given_from_zero_to_one_and_means_over_places_taken(tmp_path):
    features, x = OnnxFeatures(passed_on(tmp_path / "a.onnx")), windows()
    assert torch.allclose(features(x), (x / 255).mean((2, 3)))
    assert features.num_features == 1


def test_what_is_flat_is_taken_as_it_is(tmp_path):
    features, x = OnnxFeatures(flattened(tmp_path / "a.onnx", ("batch", 1, 6, 9))), windows()
    assert torch.equal(features(x), (x / 255).flatten(1))


def test_grey_is_given_in_all_three_channels(tmp_path):
    features, x = OnnxFeatures(passed_on(tmp_path / "a.onnx", ("batch", 3, None, None))), windows()
    assert torch.allclose(features(x), (x / 255).mean((2, 3)).expand(-1, 3))


@pytest.mark.parametrize("count", [1, 3, 70])
def test_a_network_of_one_window_gives_what_one_of_many_gives(tmp_path, count):
    one, many = (OnnxFeatures(passed_on(tmp_path / f"{b}.onnx", (b, *SIDES[1:]))) for b in (1, "batch"))
    assert torch.equal(one(windows(count)), many(windows(count)))
    assert len(one(windows(count))) == count


def test_windows_are_resized_to_what_the_network_states(tmp_path):
    features = OnnxFeatures(flattened(tmp_path / "a.onnx", ("batch", 1, 4, 12)))
    assert features.record()["input"] == [1, 4, 12]
    assert torch.allclose(features(torch.full((2, 1, 9, 9), 51, dtype=torch.uint8)), torch.full((2, 48), 0.2))


def test_kid_on_own_features_is_about_zero_for_the_same_kind_and_more_for_another(edges, generated):
    ours, features = generated_specimens(generated_photographs(generated), 48), OnnxFeatures(edges)
    blurred = [replace(each, image=(each.image + np.roll(each.image, 1, 1)) / 2) for each in ours]
    assert abs(kid(ours, ours, features).value) < kid(blurred, ours, features).value / 5


def test_the_command_states_file_and_checksum(edges, generated, real, tmp_path, monkeypatch):
    for module in (set_distances, two_sample):
        monkeypatch.setattr(module, "RESAMPLES", 8)
    monkeypatch.setattr(two_sample, "HALVES", 1)
    monkeypatch.setattr(evaluation, "BACKGROUNDS", 40)
    digest = sha256(edges.read_bytes()).hexdigest()
    words = ["evaluate", generated, "--real", real / "train", "--classes", "blowhole", "--side", 48, "-o", tmp_path]
    words += ["--features", edges, "--features-sha256", digest.upper()]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    name = f"KID on features of edges.onnx, sha256 {digest[:8]}"
    assert name in done.output
    assert name in (tmp_path / "evaluation.html").read_text()
    record = json.loads((tmp_path / "evaluation.json").read_text())
    assert record["features"] == {
        "file": "edges.onnx",
        "sha256": digest,
        "input": [1, None, None],
        "features": 8,
    }
    assert {"KID on random features", name} <= set(record["sets"])


# ---- what is refused ----------------------------------------------------------------------------------------


def refused(path, text, **more):
    with pytest.raises(FeaturesError, match=text) as caught:
        OnnxFeatures(path, **more)
    return str(caught.value)


def test_another_file_than_the_checksum_is_refused(edges):
    assert sha256(edges.read_bytes()).hexdigest() in refused(edges, "expected 00ff", checksum="00ff")


@pytest.mark.parametrize("data", [b"", b"PK\3\4 a checkpoint of torch", bytes(range(256))])
def test_what_is_no_onnx_is_refused(tmp_path, data):
    (tmp_path / "a.pt").write_bytes(data)
    refused(tmp_path / "a.pt", "is no ONNX file that ONNX Runtime can load")


def test_a_folder_is_refused(tmp_path):
    refused(tmp_path, "expected an ONNX file")


@pytest.mark.parametrize(
    "given", [("batch", 4, "h", "w"), ("batch", "channels", "h", "w"), (16, 1, "h", "w"), ("batch", "pixels")]
)
def test_inputs_of_other_shapes_are_refused(tmp_path, given):
    refused(passed_on(tmp_path / "a.onnx", given), r"takes .* Expected one input of float32 \(B, C, H, W\)")


def test_inputs_of_another_type_are_refused(tmp_path):
    refused(passed_on(tmp_path / "a.onnx", kind=onnx.TensorProto.DOUBLE), r"takes .*double")


def test_two_outputs_are_refused(tmp_path):
    nodes = [("Identity", ["x"], ["y"], {}), ("Relu", ["x"], ["z"], {})]
    refused(written(tmp_path / "a.onnx", nodes, outputs=("y", "z")), "gives 2 outputs")


def test_outputs_of_other_shapes_are_refused(tmp_path):
    squeezed = [("Flatten", ["x"], ["a"], {"axis": 1}), ("ReduceMean", ["a"], ["y"], {"keepdims": 0})]
    refused(written(tmp_path / "a.onnx", squeezed), r"gives float32 \(\)")
    refused(written(tmp_path / "b.onnx", [("Flatten", ["x"], ["y"], {"axis": 0})]), "gives 1 rows for two windows")


def test_values_that_are_not_finite_are_refused(tmp_path):
    refused(written(tmp_path / "a.onnx", [("Log", ["x"], ["y"], {})]), "not finite")


def test_windows_that_the_network_cannot_take_are_refused_before_any_is_read(tmp_path):
    weights = [("w", np.ones((1, 1, 99, 99), np.float32))]
    path = written(tmp_path / "a.onnx", [("Conv", ["x", "w"], ["y"], {})], weights=weights)
    refused(path, r"cannot compute windows of \(2, 1, 64, 64\)")
    assert OnnxFeatures(path, side=99).num_features == 1


def test_weights_beside_the_file_are_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written(
        tmp_path / "a.onnx", [("Conv", ["x", "w"], ["y"], {})], weights=[("w", np.ones((1, 1, 99, 9), "f4"))]
    )
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights", size_threshold=0)
    assert (tmp_path / "weights").exists()
    refused(path, "with its weights in it")


def test_without_onnx_runtime_the_extra_is_named(edges, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install 'dmix-eval[features]'" in refused(edges, "cannot be used")


def test_mistakes_in_what_is_typed_are_wrong_use(edges, generated, real):
    common = ["evaluate", str(generated), "--real", str(real / "train")]
    for words, message in (
        (["--features", edges, "--features-sha256", "00"], "expected 00"),
        (["--features-sha256", "00"], "expected --features FILE.onnx"),
    ):
        done = CliRunner().invoke(main, [*common, *map(str, words)])
        assert (done.exit_code, message in done.output) == (2, True), done.output
