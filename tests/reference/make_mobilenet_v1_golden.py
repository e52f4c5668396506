"""Writes the golden that MobileNetV1's forward pass is held against, computed by Keras itself.

Run by hand when the golden should change, in an environment with keras (3), tensorflow-cpu, h5py,
numpy and pillow; the tests only read what it wrote. Versions and the weights' hash go into
golden.json, so that a reader knows what computed the numbers.

    python make_mobilenet_v1_golden.py --weights mobilenet_1_0_224_tf_no_top.h5 --out tests/goldens/mobilenet_v1

input.npy     u8  [1, 224, 224, 3] NHWC: tests/data/sample.jpg resized by Pillow (BILINEAR)
features.npy  f32 [1, 7, 7, 1024] NHWC: the feature map of input / 127.5 - 1
golden.json   keras, tensorflow, sha256 of the weights file, count_params
"""

import argparse
import hashlib
import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# oneDNN reorders additions from one CPU to the next; the plain kernels are the reference.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import h5py
import keras
import numpy as np
import tensorflow
from PIL import Image

PHOTO = Path(__file__).resolve().parent.parent / "data" / "sample.jpg"


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def assign(model, path):
    """Sets each layer's weights in the order of the file's attributes (names differ by Keras version)."""
    with h5py.File(path) as file:
        stored = {}
        for layer in map(text, file.attrs["layer_names"]):
            names = [text(name) for name in file[layer].attrs["weight_names"]]
            if names:
                stored[layer] = [np.asarray(file[layer][name]) for name in names]
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(stored.pop(layer.name))
    if stored:
        raise SystemExit(f"{path}: layers that the model does not have: {sorted(stored)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    photo = Image.open(PHOTO).convert("RGB").resize((224, 224), Image.BILINEAR)
    pixels = np.asarray(photo, np.uint8)[None]
    model = keras.applications.MobileNet(
        input_shape=(224, 224, 3), alpha=1.0, include_top=False, weights=None, pooling=None
    )
    assign(model, arguments.weights)
    features = np.asarray(model(pixels.astype(np.float32) / 127.5 - 1.0, training=False), np.float32)
    if features.shape != (1, 7, 7, 1024) or not features.any():
        raise SystemExit(f"feature map {features.shape}, expected non-zero [1, 7, 7, 1024]")

    arguments.out.mkdir(parents=True, exist_ok=True)
    np.save(arguments.out / "input.npy", pixels)
    np.save(arguments.out / "features.npy", features)
    golden = {
        "generator": Path(__file__).name,
        "keras": keras.__version__,
        "tensorflow": tensorflow.__version__,
        "weights": arguments.weights.name,
        "weights_sha256": hashlib.sha256(arguments.weights.read_bytes()).hexdigest(),
        "count_params": model.count_params(),
        "input_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "feature_mean": float(features.mean(dtype=np.float64)),
        "feature_max": float(features.max()),
    }
    (arguments.out / "golden.json").write_text(json.dumps(golden, indent=2) + "\n")
    print(json.dumps(golden, indent=2))


if __name__ == "__main__":
    main()
