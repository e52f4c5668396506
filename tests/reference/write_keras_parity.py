"""Writes what the trainer's five backbones are held against, computed by Keras itself.

usage: python write_keras_parity.py --out FOLDER   (in the environment of bench/requirements.txt)

Weights are random. Batch norms too: gammas and betas uneven, moving statistics those of the input,
layer after layer, then moved away from it, so that values stay of order one through the depth and a
statistic that is read wrongly shows. For each network:

NAME.h5            Keras' legacy HDF5 file of the network without top
NAME_input.npy     u8  [1, side, side, 3] NHWC
NAME_features.npy  f32 NHWC, the feature map of the input, normalized by Keras' own preprocess_input
NAME.json          layers (names in the order of model.layers), count_params, keras, tensorflow
"""

import argparse
import json
import os
import zlib
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# oneDNN reorders additions from one CPU to the next; the plain kernels are the reference.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np
import tensorflow

# name: (application, its module, side in pixels)
NETWORKS = {
    "mobilenet_v1": ("MobileNet", "mobilenet", 224),
    "mobilenet_v2": ("MobileNetV2", "mobilenet_v2", 224),
    "nasnet_mobile": ("NASNetMobile", "nasnet", 224),
    "nasnet_large": ("NASNetLarge", "nasnet", 331),
    "densenet121": ("DenseNet121", "densenet", 224),
}


def picture(rng, side):
    """Blobs of colour and noise: [1, side, side, 3] u8 over the whole range."""
    blobs = rng.uniform(0.0, 255.0, (1, 9, 9, 3))
    blobs = tensorflow.image.resize(blobs, (side, side), "bicubic").numpy()
    return np.clip(blobs + rng.normal(0.0, 25.0, blobs.shape), 0, 255).round().astype(np.uint8)


def randomize(model, images, rng):
    """Uneven batch norms whose statistics suit the images, and are then moved."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        channels = norm.gamma.shape[0]
        norm.gamma.assign(rng.uniform(0.6, 1.4, channels).astype(np.float32))
        norm.beta.assign(rng.normal(0.0, 0.3, channels).astype(np.float32))
        norm.momentum = 0.0
    model(images, training=True)
    for norm in norms:
        mean, variance = np.asarray(norm.moving_mean), np.asarray(norm.moving_variance)
        # Maps of a few pixels may have channels that hardly vary.
        variance = np.maximum(variance, 0.05 * variance.mean())
        mean = mean + rng.normal(0.0, 0.1, mean.shape) * np.sqrt(variance)
        norm.moving_mean.assign(mean.astype(np.float32))
        norm.moving_variance.assign((variance * rng.uniform(0.8, 1.5, mean.shape)).astype(np.float32))


def write(name, out):
    application, module, side = NETWORKS[name]
    keras.utils.clear_session()
    seed = zlib.crc32(name.encode())
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    build = getattr(keras.applications, application)
    model = build(include_top=False, weights=None, input_shape=(side, side, 3))
    normalize = getattr(keras.applications, module).preprocess_input
    pixels = picture(rng, side)
    randomize(model, normalize(np.concatenate([pixels, picture(rng, side)]).astype(np.float32)), rng)
    features = np.asarray(model(normalize(pixels.astype(np.float32)), training=False), np.float32)
    spread = float(features.std())
    if not 0.05 < spread < 50.0:
        raise SystemExit(f"{name}: features spread by {spread}, not of order one")
    model.save(out / f"{name}.h5")
    np.save(out / f"{name}_input.npy", pixels)
    np.save(out / f"{name}_features.npy", features)
    facts = {
        "keras": keras.__version__,
        "tensorflow": tensorflow.__version__,
        "count_params": model.count_params(),
        "layers": [layer.name for layer in model.layers],
    }
    (out / f"{name}.json").write_text(json.dumps(facts) + "\n")
    print(f"{name}: {facts['count_params']} parameters, {len(facts['layers'])} layers, features spread by {spread:.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        write(name, arguments.out)


if __name__ == "__main__":
    main()
