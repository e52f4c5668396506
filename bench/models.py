"""Builds the models that the benchmarks run, once, in a cache folder.

usage: ETALASE_DATA=FOLDER python bench/models.py [--out FOLDER] [--networks a,b] [--steps onnx,u8,s8,tflite,nchw]

Each network is Keras' own application, written for every runtime by that runtime's usual route:
NAME.onnx (float, tf2onnx), NAME_ort_u8.onnx and NAME_ort_s8.onnx (ONNX Runtime's quantize_static,
QDQ, per-channel s8 weights, u8 or s8 activations) and NAME_int8.tflite (LiteRT's full-integer
converter). The steps ncnn and mnn run where bench/requirements-more.txt is installed, from
NAME_nchw.onnx (NAME.onnx, constants folded, without its first transposition): NAME_f32.ncnn.param
with its .bin (pnnx; float, as no wheel brings ncnn's quantizer) and NAME_int8.mnn (MNN's converter
and quantizer). What a converter refuses is noted in FILE.refused; a package that is not there is
said. What exists is kept. Left out: accuracy. The heads know the clothing classes only by a linear
fit, and backbones without public weights are random, their batch norms fitted to the calibration
images so that values have the ranges of a trained network.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np

from peers import noise

SEED = 20240607
CLASSES = 1000
CALIBRATION_PER_CLASS = 2
HEAD_PER_CLASS = 30

# name: (Keras application, side in pixels, weights file or None)
NETWORKS = {
    "mobilenet_v1": ("MobileNet", 224, "mobilenet_1_0_224_tf_no_top.h5"),
    "mobilenet_v2": ("MobileNetV2", 224, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
    "densenet121": ("DenseNet121", 224, None),
    "nasnet_mobile": ("NASNetMobile", 224, None),
    "nasnet_large": ("NASNetLarge", 331, None),
}
SUFFIX = {
    "onnx": ".onnx",
    "u8": "_ort_u8.onnx",
    "s8": "_ort_s8.onnx",
    "tflite": "_int8.tflite",
    "nchw": "_nchw.onnx",
    "ncnn": "_f32.ncnn.param",
    "mnn": "_int8.mnn",
}
# The step that a step starts from.
SOURCE = {"u8": "onnx", "s8": "onnx", "nchw": "onnx", "ncnn": "nchw", "mnn": "nchw"}
# Modules of bench/requirements-more.txt that a step needs; the other steps need bench/requirements.txt.
MORE = {"ncnn": ("ncnn", "pnnx"), "mnn": ("MNN", "_tools")}
STEPS = tuple(step for step in SUFFIX if step not in MORE)


class Refused(Exception):
    """A converter cannot do this network; says why, on one line."""


def say(name, step, start):
    print(f"{name}: {step}, {time.monotonic() - start:.1f} s", flush=True)


def photos(data, side, per_class):
    """Training photos, the first `per_class` of each class: [n, side, side, 3] f32 in -1..1, and [n] classes."""
    from PIL import Image

    images, classes = [], []
    folders = sorted(path for path in (data / "data/clothing/train").iterdir() if path.is_dir())
    for number, folder in enumerate(folders):
        for path in sorted(folder.glob("*.jpg"))[:per_class]:
            image = Image.open(path).convert("RGB").resize((side, side), Image.BILINEAR)
            images.append(np.asarray(image, np.float32) / 127.5 - 1.0)
            classes.append(number)
    return np.stack(images), np.array(classes)


def calibration(data, side):
    """A few photos, then the benchmarks' made-up input, so that no runtime is timed on values that
    its scales cut off: [21, side, side, 3] f32 in -1..1."""
    return np.concatenate([photos(data, side, CALIBRATION_PER_CLASS)[0], noise([1, side, side, 3])])


def backbone(keras, name, data):
    application, side, weights = NETWORKS[name]
    keras.utils.set_random_seed(SEED)
    build = getattr(keras.applications, application)
    return build(
        include_top=False,
        weights=None if weights is None else str(data / "weights" / weights),
        input_shape=(side, side, 3),
    )


def settle(keras, model, images, rng):
    """Gives random weights the ranges of a trained network: uneven gammas and betas, and moving
    averages equal to what the images give, layer after layer, in one training-mode pass."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        channels = layer.gamma.shape[0]
        layer.gamma.assign(rng.uniform(0.6, 1.4, channels).astype(np.float32))
        layer.beta.assign(rng.normal(0.0, 0.3, channels).astype(np.float32))
        layer.momentum = 0.0
    model(images, training=True)


def network(name, data, images):
    """The Keras classifier: backbone, global average pool, 1000-way softmax."""
    import keras

    rng = np.random.default_rng(SEED)
    base = backbone(keras, name, data)
    if NETWORKS[name][2] is None:
        # Keras keeps every layer's output of a pass: of larger pictures, fewer fit in memory.
        settle(keras, base, images if NETWORKS[name][1] <= 224 else images[-4:], rng)
    pooled = keras.layers.GlobalAveragePooling2D(name="embedding")(base.output)
    embed = keras.Model(base.input, pooled)
    known, classes = photos(data, NETWORKS[name][1], HEAD_PER_CLASS)
    features = embed.predict(np.concatenate([known, images[-1:]]), batch_size=10, verbose=0)
    if not np.isfinite(features).all() or features.std(axis=0).max() < 1e-4:
        sys.exit(f"{name}: the features of the photos say nothing")
    kernel, bias = fit_head(features, np.append(classes, classes.max() + 1), rng)
    head = keras.layers.Dense(CLASSES, activation="softmax", name="predictions")
    model = keras.Model(base.input, head(pooled))
    head.set_weights([kernel, bias])
    return model


def fit_head(features, classes, rng):
    """A ridge regression that tells the photos' classes, and the made-up input as one more, by a
    margin that int8 keeps: so a runtime that computes wrongly names another class. The classes
    after these are random and never win: they are there for a head of ImageNet's size."""
    mean = features.mean(axis=0)
    centred = (features - mean).astype(np.float64)
    used = int(classes.max()) + 1
    targets = np.eye(used)[classes] - 1.0 / used
    gram = centred @ centred.T
    ridge = 0.05 * np.median(np.diag(gram)) * np.eye(len(gram))
    kernel = rng.normal(0.0, 0.5 / np.median(np.sqrt(np.diag(gram))), (features.shape[1], CLASSES))
    kernel[:, :used] = 12.0 * centred.T @ np.linalg.solve(gram + ridge, targets)
    bias = -(mean @ kernel)
    bias[used:] -= 6.0
    return kernel.astype(np.float32), bias.astype(np.float32)


def frozen(model):
    """The model as one batch-1 TensorFlow function with its weights as constants."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def call(x):
        return model(x, training=False)

    spec = tf.TensorSpec((1, *model.input.shape[1:]), tf.float32, name="input")
    function = tf.function(call, autograph=False)
    return convert_variables_to_constants_v2(function.get_concrete_function(spec))


def write_onnx(model, images, out):
    import onnx
    import tf2onnx

    graph = frozen(model)
    proto, _ = tf2onnx.convert.from_graph_def(
        graph.graph.as_graph_def(),
        input_names=[tensor.name for tensor in graph.inputs],
        output_names=[tensor.name for tensor in graph.outputs],
        opset=13,
    )
    onnx.checker.check_model(proto)
    onnx.save(proto, out)
    expected = np.asarray(model(images[:2], training=False))
    got = np.concatenate([run_onnx(out, image) for image in images[:2]])
    worst = float(np.abs(got - expected).max())
    if worst > 1e-3:
        sys.exit(f"{out}: differs from Keras by {worst}")


def session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def run_onnx(path, image):
    s = session(path)
    return s.run(None, {s.get_inputs()[0].name: image[None]})[0]


def write_quantized(source, images, out, activation):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self, input_name):
            self.feeds = iter([{input_name: image[None]} for image in images])

        def get_next(self):
            return next(self.feeds, None)

    prepared = out.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(out),
        Reader(session(prepared).get_inputs()[0].name),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8 if activation == "u8" else QuantType.QInt8,
    )


def write_tflite(model, images, out):
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen(model)])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    out.write_bytes(converter.convert())


def write_nchw(source, out):
    """The float network as ncnn and MNN want it. pnnx does not read tf2onnx's padding in front of a
    strided convolution, which ONNX Runtime folds into it along with batch norms. Of NAME.onnx as it
    is, MNN's quantizer leaves all in float without a word, and MNN's NASNetMobile answers wrongly."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    folded = out.with_suffix(".folded.onnx")
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    model = onnx.load(folded)
    graph = model.graph
    image, first = graph.input[0], graph.node[0]
    readers = [node for node in graph.node if image.name in node.input]
    if readers != [first] or first.op_type != "Transpose" or list(first.attribute[0].ints) != [0, 3, 1, 2]:
        sys.exit(f"{source}: does not begin with a transposition to NCHW")
    for node in graph.node:
        for index, value in enumerate(node.input):
            if value == first.output[0]:
                node.input[index] = image.name
    graph.node.remove(first)
    del graph.value_info[:]
    n, h, w, c = (d.dim_value for d in image.type.tensor_type.shape.dim)
    image.CopyFrom(onnx.helper.make_tensor_value_info(image.name, onnx.TensorProto.FLOAT, [n, c, h, w]))
    # ONNX Runtime lists its own operators' sets too, and none is used.
    sets = [entry for entry in model.opset_import if entry.domain == ""]
    del model.opset_import[:]
    model.opset_import.extend(sets)
    onnx.checker.check_model(model)
    onnx.save(model, out)
    probe = noise([h, w, c])
    worst = float(np.abs(run_onnx(out, probe.transpose(2, 0, 1)) - run_onnx(source, probe)).max())
    if worst > 1e-3:
        sys.exit(f"{out}: differs from {source} by {worst}")


def converter(command, package, results):
    """Runs a converter in a process of its own, as it may abort; one that leaves no results has refused."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0 or not all(path.exists() for path in results):
        words = " / ".join(line.strip() for line in done.stdout.splitlines()[-3:])
        raise Refused(f"{package} {importlib.metadata.version(package)}: status {done.returncode}: {words}")
    return done.stdout


def write_ncnn(source, out):
    """Also writes the weights, beside. ncnn's int8 would need its ncnn2table and ncnn2int8, which
    are in no wheel."""
    import ncnn

    folder = out.parent / "pnnx"
    folder.mkdir()
    # It writes a handful of files beside what it reads.
    model = folder / "model.onnx"
    model.symlink_to(source.resolve())
    param, weights = folder / "model.ncnn.param", folder / "model.ncnn.bin"
    # Found, not imported: the module wants torch, the program does not.
    program = Path(importlib.util.find_spec("pnnx").origin).with_name("pnnx")
    said = converter([program, model, "fp16=0"], "pnnx", [param, weights])
    # pnnx passes on an operator that it does not know and calls that done; ncnn then knows no such layer.
    net = ncnn.Net()
    if net.load_param(str(param)) != 0 or net.load_model(str(weights)) != 0:
        ignored = [line for line in said.splitlines() if line.startswith("ignore ")]
        words = "; ".join(["writes a network that ncnn does not load", *ignored])
        raise Refused(f"pnnx {importlib.metadata.version('pnnx')}: {words}")
    weights.replace(out.with_suffix(".bin"))
    param.replace(out)


def write_mnn(source, images, out):
    """MNN's default method (KL) on the images that all quantizers get: as PNG, which keeps them exactly."""
    from PIL import Image

    folder, plain, settings = out.parent / "images", out.with_suffix(".f32.mnn"), out.parent / "settings.json"
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(np.round((image + 1.0) * 127.5).astype(np.uint8)).save(folder / f"{number:02}.png")
    means = {"format": "RGB", "mean": [127.5] * 3, "normal": [1 / 127.5] * 3}
    source_of = {"path": f"{folder}/", "used_image_num": len(images)}
    size = {"width": images.shape[2], "height": images.shape[1]}
    method = {"feature_quantize_method": "KL", "weight_quantize_method": "MAX_ABS"}
    settings.write_text(json.dumps({**means, **source_of, **size, **method}))
    # Not by the commands mnnconvert and mnnquant: those install a logging package by pip, into
    # whatever Python is first on PATH, and report to its maker what they convert.
    tool = [sys.executable, "-c", "import sys, _tools; getattr(_tools, sys.argv[1])(sys.argv[1:])"]
    converter([*tool, "mnnconvert", "-f", "ONNX", "--modelFile", source, "--MNNModel", plain], "mnn", [plain])
    converter([*tool, "mnnquant", plain, out, settings], "mnn", [out])
    # It says "done" of a network that it left in float, too.
    if out.stat().st_size > plain.stat().st_size / 2:
        raise Refused(f"mnn {importlib.metadata.version('mnn')}: leaves the weights in float")


def absent(step):
    return [module for module in MORE.get(step, ()) if importlib.util.find_spec(module) is None]


def build(name, steps, data, out):
    def file(step):
        return out / (name + SUFFIX[step])

    def refusal(step):
        return out / (name + SUFFIX[step] + ".refused")

    missing = [step for step in steps if not file(step).exists() and not refusal(step).exists()]
    if not missing:
        return
    start = time.monotonic()
    images = calibration(data, NETWORKS[name][1])
    model = None
    for step in missing:
        if modules := absent(step):
            print(f"{name}: no {step}: not installed: {', '.join(modules)}", file=sys.stderr, flush=True)
            continue
        if step in ("onnx", "tflite") and model is None:
            model = network(name, data, images)
            say(name, "network", start)
        final = file(step)
        # Written beside and renamed: a build cut short leaves nothing that looks whole.
        with tempfile.TemporaryDirectory(dir=out, prefix=".part-") as folder:
            part = Path(folder) / final.name
            source = file(SOURCE[step]) if step in SOURCE else None
            if source is not None and not source.exists():
                sys.exit(f"{name}: {step} needs the step {SOURCE[step]} first")
            try:
                if step == "onnx":
                    write_onnx(model, images, part)
                elif step == "tflite":
                    write_tflite(model, images, part)
                elif step == "nchw":
                    write_nchw(source, part)
                elif step == "ncnn":
                    write_ncnn(source, part)
                    part.with_suffix(".bin").replace(final.with_suffix(".bin"))
                elif step == "mnn":
                    write_mnn(source, images, part)
                else:
                    write_quantized(source, images, part, step)
            except Refused as reason:
                note = Path(folder) / "refused"
                note.write_text(f"{reason}\n")
                note.replace(refusal(step))
                say(name, f"{step} refused", start)
                continue
            part.replace(final)
        say(name, final.name, start)


def names(text, known, what):
    chosen = text.split(",")
    unknown = [name for name in chosen if name not in known]
    if unknown:
        sys.exit(f"no such {what}: {', '.join(unknown)}; there are {', '.join(known)}")
    return [name for name in known if name in chosen]


def main():
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description="Builds the benchmarks' models in a cache folder")
    parser.add_argument("--out", type=Path, default=cache / "etalase" / "bench-models")
    default = ",".join(name for name in NETWORKS if name != "nasnet_large")
    parser.add_argument("--networks", default=default, help=f"default: all but nasnet_large: {default}")
    parser.add_argument("--steps", default=",".join(STEPS), help=f"of {','.join(SUFFIX)}")
    arguments = parser.parse_args()
    data = os.environ.get("ETALASE_DATA")
    if not data:
        sys.exit("set ETALASE_DATA to the folder of photos and weights")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in names(arguments.networks, list(NETWORKS), "network"):
        build(name, names(arguments.steps, list(SUFFIX), "step"), Path(data), arguments.out)


if __name__ == "__main__":
    main()
