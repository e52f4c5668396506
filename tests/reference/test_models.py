"""Our ONNX files in ONNX Runtime and in `etalase run`: valid, and the same answers.

Three models: the default bundle's (int8) and a float and int8 pair of one network whose head
`cargo xtask test` has the trainer fit on the training photos (ETALASE_MODELS).
"""

import bundle_format
import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import DEFAULT_BUNDLE, from_environment

PAIR = [
    pytest.param("mobilenet_v1_float.onnx", marks=pytest.mark.data),
    pytest.param("mobilenet_v1_int8.onnx", marks=pytest.mark.data),
]


@pytest.fixture
def model(request, tmp_path):
    """Path of a model, by its name in ETALASE_MODELS; `default`: the default bundle's member."""
    if request.param != "default":
        return from_environment("ETALASE_MODELS") / request.param
    path = tmp_path / "default.onnx"
    path.write_bytes(bundle_format.read(DEFAULT_BUNDLE.read_bytes())["model.onnx"])
    return path


@pytest.mark.parametrize("model", ["default", *PAIR], indirect=True)
def test_model_is_valid_and_takes_pixels(model):
    loaded = onnx.load(model)
    onnx.checker.check_model(loaded, full_check=True)
    (opset,) = [entry.version for entry in loaded.opset_import if entry.domain in ("", "ai.onnx")]
    assert opset >= 13
    operators = {node.op_type for node in loaded.graph.node}
    # It ends at its logits; batch norms are folded.
    assert not operators & {"Softmax", "BatchNormalization"}, operators
    (given,), (answer,) = loaded.graph.input, loaded.graph.output
    assert given.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sides = [side.dim_value for side in given.type.tensor_type.shape.dim]
    assert sides[1:] == [224, 224, 3] and sides[0] in (0, 1)
    assert answer.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


@pytest.mark.parametrize("model", ["default", PAIR[1]], indirect=True)
def test_int8_model_is_per_channel_and_holds_its_weights_once(model):
    graph = onnx.load(model).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) >= 27
    for node in convolutions:
        weights = made_by[node.input[1]]
        assert weights.op_type == "DequantizeLinear", node.name
        tensor, scale = stored[weights.input[0]], stored[weights.input[1]]
        assert tensor.data_type == onnx.TensorProto.INT8, node.name
        assert list(scale.dims) == [tensor.dims[0]], f"{node.name}: not a scale per channel"
        assert made_by[node.input[0]].op_type in ("DequantizeLinear", "Transpose", "Pad"), node.name
    # 3.2 million weights and what little is beside them: a second copy would not fit.
    assert sum(len(tensor.SerializeToString()) for tensor in graph.initializer) < 4_000_000


def in_onnx_runtime(model, tensors):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    # Its fused int8 kernels saturate on x86 CPUs without VNNI; node by node it is exact everywhere.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return np.concatenate([session.run(None, {given.name: tensor[None]})[0] for tensor in tensors])


def in_etalase(etalase, model, tensors, folder):
    np.save(folder / "x.npy", tensors)
    etalase.run("run", model, "--input", folder / "x.npy", "--output", folder / "y.npy")
    return np.load(folder / "y.npy")


def agreement(ours, reference):
    """Share of photos whose best class is the same; refuses what agrees by saying one thing only."""
    assert ours.shape == reference.shape and ours.dtype == np.float32
    assert len(set(reference.argmax(1))) >= 3, "the reference names fewer than three classes"
    return (ours.argmax(1) == reference.argmax(1)).mean()


# Int8 is judged on the network that ships. The pair's head, fitted on a frozen trunk, leaves photos
# so near a tie that one level of rounding, where runtimes may differ, decides them.
@pytest.mark.data
@pytest.mark.parametrize("model", ["default", PAIR[0]], indirect=True)
def test_same_answers_as_onnx_runtime(model, etalase, tensors, tmp_path):
    reference = in_onnx_runtime(model, tensors)
    ours = in_etalase(etalase, model, tensors, tmp_path)
    difference = np.abs(ours - reference).max()
    share = agreement(ours, reference)
    print(f"{model.name}: top-1 agrees on {share:.0%}, largest difference of a logit {difference:.2e}")
    assert share >= 0.99
    if "float" in model.name:
        assert difference <= 1e-3
    # A comparison that tells nothing would also accept the photos in another order.
    assert agreement(np.roll(ours, 1, axis=0), reference) < 0.99


@pytest.mark.data
def test_the_pair_is_one_network(tensors):
    """The int8 file is the float file, quantized: not another network that both runtimes agree on."""
    folder = from_environment("ETALASE_MODELS")
    exact = in_onnx_runtime(folder / "mobilenet_v1_float.onnx", tensors)
    rounded = in_onnx_runtime(folder / "mobilenet_v1_int8.onnx", tensors)
    exact, rounded = exact - exact.mean(0), rounded - rounded.mean(0)
    cosine = (exact * rounded).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rounded, axis=1)
    assert np.median(cosine) > 0.9, np.sort(cosine)[:5]


def signal_to_noise_db(ours, reference):
    """Of the part of the logits that tells photos apart."""
    signal = reference - reference.mean(0)
    return 10 * np.log10((signal**2).sum() / ((ours - reference) ** 2).sum())


@pytest.mark.data
@pytest.mark.parametrize("model", ["default", PAIR[1]], indirect=True)
def test_int8_differs_from_onnx_runtime_by_rounding_only(model, etalase, tensors, tmp_path):
    reference = in_onnx_runtime(model, tensors)
    ours = in_etalase(etalase, model, tensors, tmp_path)
    noise = signal_to_noise_db(ours, reference)
    print(f"{model.name}: {noise:.1f} dB, top-1 {agreement(ours, reference):.0%}")
    assert noise >= 30
    assert signal_to_noise_db(np.roll(ours, 1, axis=0), reference) < 10
