"""Holds the trainer's int8 models against ONNX Runtime's `quantize_static`, from the same float ONNX and photos.

usage: cargo xtask quantizers -- RUN --calibration DIR --validation DIR [--networks a,b] [--photos N] [--csv FILE]
which is ETALASE_BIN=etalase ETALASE_TRAINER=etalase-trainer python bench/quantizers.py …
RUN: what `etalase-trainer all --out RUN` left: a folder with a checkpoint.safetensors per network.

Both quantize per channel to int8 weights and u8 activations, calibrated on the same N photos. ONNX Runtime may try its
min-max, entropy and percentile methods, and the best counts. Its input is the normalized photo, stored with the very
levels that the photo's bytes are, so that neither side rounds pixels twice. Errors are those of the logits on all
photos of --validation, against the float model; signal-to-noise is their power without each class's mean over the
error's. Pillow fits the photos that both are
judged on and those that calibrate ONNX Runtime; the trainer calibrates on the same files, fitted by etalase. All models
run in ONNX Runtime without its optimizer: float arithmetic between roundings, on every CPU the same network.
The trainer's must also pass onnx.checker, and etalase must name the same class as ONNX Runtime on 99 % of the photos:
as it runs int8 models, optimized, on integer kernels. How often float arithmetic names the same class is told beside it:
sums beside a tie fall to its other side there now and then, which the roundings of a deep network multiply.

Left out: speed, and accuracy, which are `cargo xtask bench` and the trainer's report.
"""

import argparse
import contextlib
import csv
import json
import logging
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from PIL import Image

NETWORKS = ["mobilenet_v1", "mobilenet_v2", "nasnet_mobile", "densenet121", "nasnet_large"]
METHODS = {
    "min-max": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
OURS = "etalase"
COLUMNS = ["network", "quantizer", "mean_squared_error", "signal_to_noise_db", "top1_agreement"]
# Photos whose values ONNX Runtime may keep at once while it calibrates.
KEPT_PHOTOS = 8


def preprocessing(checkpoint):
    """What the checkpoint says of its input."""
    with open(checkpoint, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        metadata = json.loads(file.read(length))["__metadata__"]
    described = next(json.loads(text) for text in metadata.values() if '"preprocess"' in text)
    return described["preprocess"]


def photo(path, preprocess):
    """A photo as the network's input, [height, width, 3] u8."""
    side = preprocess["width"]
    if (preprocess["fit"], preprocess["height"]) != ("letterbox", side):
        sys.exit(f"{preprocess['fit']} {preprocess['height']}×{side}: only square letterboxes are compared")
    image = Image.open(path).convert("RGB")
    size = [max(1, round(length * side / max(image.size))) for length in image.size]
    canvas = Image.new("RGB", (side, side), (preprocess["fill"],) * 3)
    canvas.paste(image.resize(size, Image.BILINEAR), tuple((side - length) // 2 for length in size))
    return np.asarray(canvas)


def photos(folder, preprocess, count=None):
    """All photos of a folder per class, or `count` of them spread evenly, as the trainer picks them."""
    files = [file for kind in sorted(Path(folder).iterdir()) if kind.is_dir() for file in sorted(kind.iterdir())]
    if count is not None and count < len(files):
        files = [files[at * len(files) // count] for at in range(count)]
    if not files:
        sys.exit(f"{folder}: no photo in it")
    return np.stack([photo(file, preprocess) for file in files])


def normalized_input(model):
    """The float model behind its normalization: its input, how a byte becomes it, and the model itself."""
    graph = model.graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    transpose, dequantize = graph.node[0], graph.node[1]
    if (transpose.op_type, dequantize.op_type) != ("Transpose", "DequantizeLinear"):
        sys.exit("the float model does not begin with its normalization")
    scale, zero = (float(constants[name]) for name in dequantize.input[1:3])
    for tensor in [tensor for tensor in graph.initializer if tensor.name in dequantize.input]:
        graph.initializer.remove(tensor)
    name = dequantize.output[0]
    _, height, width, channels = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    del graph.node[:2], graph.input[:]
    graph.input.append(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, channels, height, width])
    )
    return name, scale, zero, model


def session(model, integers):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = int(os.environ.get("THREADS", "0"))
    if integers:
        # Where the CPU has no VNNI, sums of two products would saturate.
        options.add_session_config_entry("session.x64quantprecision", "1")
    else:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def logits(model, images, integers=False):
    runs = session(model, integers)
    name = runs.get_inputs()[0].name
    return np.concatenate([runs.run(None, {name: image[None]})[0] for image in images])


class Photos(CalibrationDataReader):
    """Calibration photos, part by part: histograms of a part are made before the next one's values are kept."""

    def __init__(self, name, images):
        self.name, self.images = name, images
        self.set_range(0, len(images))

    def __len__(self):
        return len(self.images)

    def set_range(self, start_index, end_index):
        self.at, self.end = start_index, end_index

    def get_next(self):
        if self.at == self.end:
            return None
        self.at += 1
        return {self.name: self.images[self.at - 1][None]}


def normalize(images, scale, zero):
    return np.ascontiguousarray((images.astype(np.float32) - zero).transpose(0, 3, 1, 2) * np.float32(scale))


def by_onnx_runtime(float_model, out, method, images):
    name, scale, zero, model = normalized_input(onnx.load(float_model))
    stripped = out.with_suffix(".float.onnx")
    onnx.save(model, stripped)
    levels = {
        "scale": np.array(scale, np.float32),
        "zero_point": np.array(zero, np.uint8),
        "quant_type": QuantType.QUInt8,
    }
    # It tells of every part.
    logging.getLogger().setLevel(logging.ERROR)
    part = max(size for size in range(1, KEPT_PHOTOS + 1) if len(images) % size == 0)
    with contextlib.redirect_stdout(None):
        quantize_static(
            stripped,
            out,
            Photos(name, normalize(images, scale, zero)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=METHODS[method],
            extra_options={"TensorQuantOverrides": {name: [levels]}, "CalibStridedMinMax": part},
        )
    return scale, zero


def in_etalase(model, images, folder):
    """Logits of the trainer's own runtime."""
    batch, out = folder / "x.npy", folder / "y.npy"
    np.save(batch, images)
    command = [os.environ["ETALASE_BIN"], "run", model, "--input", batch, "--output", out]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    return np.load(out)


def trainer(*words):
    subprocess.run([os.environ["ETALASE_TRAINER"], *map(str, words)], check=True)


def compare(found, wanted):
    error = float(np.mean((found - wanted) ** 2))
    signal = float(np.mean((wanted - wanted.mean(0)) ** 2))
    agreement = float(np.mean(found.argmax(1) == wanted.argmax(1)))
    return {
        "mean_squared_error": error,
        "signal_to_noise_db": 10 * np.log10(signal / error),
        "top1_agreement": agreement,
    }


def network(name, arguments, folder):
    """Rows of the table, and what of the promises does not hold."""
    checkpoint = Path(arguments.run) / name / "checkpoint.safetensors"
    float_model, int8_model = folder / "float.onnx", folder / "int8.onnx"
    trainer("export", "--checkpoint", checkpoint, "--out", float_model)
    preprocess = preprocessing(checkpoint)
    calibration = photos(arguments.calibration, preprocess, arguments.photos)
    validation = photos(arguments.validation, preprocess)
    wanted = logits(float_model, validation)

    rows, broken = [], []
    for method in METHODS:
        model = folder / f"{method}.onnx"
        scale, zero = by_onnx_runtime(float_model, model, method, calibration)
        found = compare(logits(model, normalize(validation, scale, zero)), wanted)
        rows.append({"network": name, "quantizer": f"ONNX Runtime, {method}", **found})
        print(row_text(rows[-1]), flush=True)

    given = ["--calibration", arguments.calibration, "--photos", arguments.photos]
    trainer("quantize", "--checkpoint", checkpoint, *given, "--out", int8_model)
    onnx.checker.check_model(str(int8_model), full_check=True)
    ours = logits(int8_model, validation)
    rows.append({"network": name, "quantizer": OURS, **compare(ours, wanted)})
    print(row_text(rows[-1]), flush=True)

    own = in_etalase(int8_model, validation, folder)
    kernels = logits(int8_model, validation, integers=True)
    same, same_in_float = (float(np.mean(own.argmax(1) == other.argmax(1))) for other in (kernels, ours))
    best = min(rows[:-1], key=lambda row: row["mean_squared_error"])
    ratio = rows[-1]["mean_squared_error"] / best["mean_squared_error"]
    print(f"{name}: {ratio:.2f} of the error of {best['quantizer']}", flush=True)
    print(f"{name}: etalase and ONNX Runtime agree on {same:.2%}, in float arithmetic on {same_in_float:.2%}", flush=True)
    if ratio > 0.5:
        broken.append(f"{name}: {ratio:.2f} of ONNX Runtime's mean squared error, more than half")
    if rows[-1]["top1_agreement"] < max(row["top1_agreement"] for row in rows[:-1]):
        broken.append(f"{name}: ONNX Runtime's model names the float model's class more often")
    if same < 0.99:
        broken.append(f"{name}: etalase and ONNX Runtime name the same class on {same:.2%} only")
    return rows, broken


def row_text(row):
    figures = f"{row['mean_squared_error']:.5f}  {row['signal_to_noise_db']:5.1f} dB  {row['top1_agreement']:7.2%}"
    return f"{row['network']:14} {row['quantizer']:25} {figures}"


def main():
    parser = argparse.ArgumentParser(description="the trainer's quantizer beside ONNX Runtime's")
    parser.add_argument("run", help="what etalase-trainer all --out left")
    parser.add_argument("--calibration", required=True, help="training photos, a folder per class")
    parser.add_argument("--validation", required=True, help="validation photos, a folder per class")
    parser.add_argument("--photos", type=int, default=1024, help="calibration photos, spread evenly")
    parser.add_argument("--networks", help=f"names with commas between [default: those of {','.join(NETWORKS)} that are there]")
    parser.add_argument("--csv", help="write the table there too")
    arguments = parser.parse_args()
    there = [name for name in NETWORKS if (Path(arguments.run) / name / "checkpoint.safetensors").exists()]
    names = arguments.networks.split(",") if arguments.networks else there
    if missing := [name for name in names if name not in there]:
        parser.error(f"{arguments.run} holds no checkpoint of {', '.join(missing)}")
    if not names:
        parser.error(f"{arguments.run} holds no checkpoint")

    print(f"{'network':14} {'quantizer':25} {'MSE':7}  {'signal':>8}  {'top-1':>7}")
    rows, broken = [], []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            found, wrong = network(name, arguments, Path(folder))
        rows += found
        broken += wrong
    if arguments.csv:
        with open(arguments.csv, "w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(rows)
    if broken:
        sys.exit("\n".join(broken))


if __name__ == "__main__":
    main()
