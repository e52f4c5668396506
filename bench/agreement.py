"""Holds etalase's logits against ONNX Runtime's, on ONNX Runtime's own quantized models.

usage: ETALASE_DATA=FOLDER ETALASE_BIN=etalase python bench/agreement.py MODELS [--networks a,b] [--photos N]

Of each network both files of bench/models.py are run, activations u8 and s8, cut in front of their
final softmax, on N validation photos and a quarter as many images of noise. Where the CPU has VNNI,
ONNX Runtime's integer kernels are exact: the best class must be the same on at least 99.5 % and no
logit may be more than two quantization steps away. Elsewhere they saturate; then the reference is
ONNX Runtime without its optimizer, float arithmetic between roundings, which breaks ties otherwise:
noise at least 10 dB below the signal is asked for. Left out: speed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

from models import NETWORKS, names

SEED = 5


def has_vnni():
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags


def without_softmax(path, out):
    """Writes the model up to its logits; gives the logits' quantization step."""
    model = onnx.load(path)
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    softmax = [node for node in graph.node if node.op_type == "Softmax"][-1]
    logits = softmax.input[0]
    scale = next(t for t in graph.initializer if t.name == makers[logits].input[1])
    wanted, waiting = set(), [logits]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in wanted:
            wanted.add(node.name)
            waiting.extend(node.input)
    kept = [node for node in graph.node if node.name in wanted]
    classes = [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim]
    del graph.node[:], graph.output[:]
    graph.node.extend(kept)
    graph.output.append(onnx.helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, classes))
    onnx.save(model, out)
    return float(onnx.numpy_helper.to_array(scale))


def in_onnx_runtime(model, images, exact):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    # Without it, s8 networks run in float at places on x86.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    if not exact:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])


def in_etalase(model, images, folder):
    np.save(folder / "x.npy", images)
    command = [os.environ["ETALASE_BIN"], "run", model, "--input", folder / "x.npy", "--output", folder / "y.npy"]
    subprocess.run([str(word) for word in command], check=True)
    return np.load(folder / "y.npy")


def inputs(data, side, count):
    """Validation photos evenly spread over the classes, then noise: [n, side, side, 3] f32 in -1..1."""
    paths = sorted((data / "data/clothing/validation").glob("*/*.jpg"))
    paths = [paths[i * len(paths) // count] for i in range(count)]
    photos = [Image.open(path).convert("RGB").resize((side, side), Image.BILINEAR) for path in paths]
    noise = np.random.default_rng(SEED).integers(0, 256, (max(count // 4, 1), side, side, 3))
    values = np.concatenate([np.stack([np.asarray(photo) for photo in photos]), noise])
    return values.astype(np.float32) / 127.5 - 1.0


def compare(name, activation, models, images, exact, folder):
    """A line of the table, and whether it is as it must be."""
    step = without_softmax(models / f"{name}_ort_{activation}.onnx", folder / "cut.onnx")
    ours = in_etalase(folder / "cut.onnx", images, folder)
    theirs = in_onnx_runtime(folder / "cut.onnx", images, exact)
    if len(set(theirs.argmax(1))) < 3:
        sys.exit(f"{name}: fewer than three classes are named, so agreement says nothing")
    same = (ours.argmax(1) == theirs.argmax(1)).mean()
    steps = np.abs(ours - theirs).max() / step
    noise = ((ours - theirs) ** 2).mean()
    decibels = np.inf if noise == 0 else 10 * np.log10((theirs - theirs.mean(0)).var() / noise)
    good = (same >= 0.995 and steps <= 2.01) if exact else decibels >= 10
    print(
        f"{name:14} {activation}  top-1 {same:7.2%} of {len(images)}  largest difference {steps:5.2f} steps"
        f"  {decibels:5.1f} dB  {'ok' if good else 'TOO FAR'}",
        flush=True,
    )
    return good


def main():
    parser = argparse.ArgumentParser(description="etalase's logits against ONNX Runtime's")
    parser.add_argument("models", type=Path)
    parser.add_argument("--networks", default=",".join(name for name in NETWORKS if name != "nasnet_large"))
    parser.add_argument("--photos", type=int, default=40)
    arguments = parser.parse_args()
    data, exact = Path(os.environ["ETALASE_DATA"]), has_vnni()
    print("reference: ONNX Runtime", "with its integer kernels" if exact else "without its optimizer (no VNNI here)")
    good = True
    for name in names(arguments.networks, list(NETWORKS), "network"):
        images = inputs(data, NETWORKS[name][1], arguments.photos)
        with tempfile.TemporaryDirectory() as folder:
            for activation in ("u8", "s8"):
                good &= compare(name, activation, arguments.models, images, exact, Path(folder))
    sys.exit(not good)


if __name__ == "__main__":
    main()
