"""From a 12-megapixel photo to a label: core beside Pillow and ONNX Runtime, in the same run.

Photos are PHOTO... or the sample photo, enlarged to 3000x4000 px, with a camera's noise, and saved in several ways.
Rounds are interleaved: core and the peer in turn, so that a slow minute of the machine falls on both; one thread each.
Ratios are of medians. Compared are:

  photo to label  the file's bytes to the best class by the default bundle. The peer: Pillow opens the file, `draft`s it
                  (libjpeg-turbo decodes at the smallest scale of at least the network's input), resizes with BILINEAR, and
                  ONNX Runtime runs the bundle's own model. The labels have to be the same.
  RGBA to tensor  a 12-megapixel bitmap in memory to the network's input; the peer: Pillow's resize of it.
  NV21 to tensor  a frame of 1920x1080 px; without a peer.
  memory          what reading and classifying the file takes beyond the opened classifier, at the peak; its bytes included.

`cargo xtask photos` installs and builds what this needs. `--json` prints numbers instead of a table.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/reference"))
import bundle_format  # noqa: E402

BUNDLE = ROOT / "models/default.etalase"
SIZE = (3000, 4000)
# Levels of a phone's sensor in daylight, after its own denoising.
NOISE = 4


def model():
    """The default bundle's network as ONNX Runtime opens it, and its manifest."""
    members = bundle_format.read(BUNDLE.read_bytes())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(members["model.onnx"], options, providers=["CPUExecutionProvider"])
    return session, json.loads(members["manifest.json"])


def peer(path, session, manifest):
    """The label, as an app would get it with well-kept libraries."""
    wanted = manifest["preprocess"]
    width, height = wanted["width"], wanted["height"]
    image = Image.open(path)
    image.draft("RGB", (width, height))
    image = image.convert("RGB")
    scale = min(width / image.width, height / image.height)
    inner = image.resize((round(image.width * scale), round(image.height * scale)), Image.BILINEAR)
    canvas = Image.new("RGB", (width, height), (wanted["fill"],) * 3)
    canvas.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
    logits = session.run(None, {session.get_inputs()[0].name: np.asarray(canvas)[None]})[0]
    return manifest["classes"][int(logits.argmax())]


def timed(run):
    start = time.perf_counter()
    result = run()
    return (time.perf_counter() - start) * 1e3, result


def core(path, runs):
    """Milliseconds by case, the label, and the memory that the file took."""
    command = [os.environ["ETALASE_TIME_PHOTO"], str(BUNDLE), str(path), str(runs)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    memory, *cases = (json.loads(line) for line in lines)
    return {case["case"]: case["ms"] for case in cases}, cases[0]["label"], memory["bytes"]


def variants(source, folder):
    """The photo, as phones and apps write it."""
    image = Image.open(source).convert("RGB").resize(SIZE, Image.BICUBIC)
    noise = np.random.default_rng(1).normal(0, NOISE, (SIZE[1], SIZE[0], 3))
    image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    for name, options in {
        "4:2:0, quality 90": {"quality": 90},
        "4:2:0, quality 75": {"quality": 75},
        "4:4:4, quality 95": {"quality": 95, "subsampling": 0},
        "progressive": {"quality": 90, "progressive": True},
    }.items():
        path = folder / f"{Path(source).stem}-{name.replace(':', '').replace(', ', '-').replace(' ', '')}.jpg"
        image.save(path, **options)
        yield name, path


def compare(name, path, session, manifest, rounds):
    ours, theirs = {}, []
    bitmap = Image.open(path).convert("RGBA")
    inner = Image.open(path)
    inner.thumbnail((manifest["preprocess"]["width"], manifest["preprocess"]["height"]))
    resized = []
    peer(path, session, manifest)
    for _ in range(rounds):
        times, label, memory = core(path, 3)
        for case, ms in times.items():
            ours.setdefault(case, []).extend(ms)
        for _ in range(3):
            ms, answer = timed(lambda: peer(path, session, manifest))
            theirs.append(ms)
            if answer != label:
                sys.exit(f"{path}: {label} here, {answer} there")
        resized.append(timed(lambda: bitmap.resize(inner.size, Image.BILINEAR))[0])
    median = {case: statistics.median(ms) for case, ms in ours.items()}
    return {
        "photo": name,
        "file_bytes": path.stat().st_size,
        "label_ms": median["jpeg"],
        "label_peer_ms": statistics.median(theirs),
        "label_ratio": median["jpeg"] / statistics.median(theirs),
        "rgba_ms": median["rgba"],
        "rgba_peer_ms": statistics.median(resized),
        "rgba_ratio": median["rgba"] / statistics.median(resized),
        "nv21_ms": median["nv21"],
        "memory_bytes": memory,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="*", default=[ROOT / "tests/data/sample.jpg"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    args = parser.parse_args()
    session, manifest = model()
    if not args.json:
        print("photo                 MB   to label: ms  peer  ratio   RGBA: ms  peer  ratio   NV21 ms   memory MB")
    with tempfile.TemporaryDirectory() as folder:
        for source in args.photos:
            for name, path in variants(source, Path(folder)):
                row = compare(name, path, session, manifest, args.rounds)
                if args.json:
                    print(json.dumps(row), flush=True)
                    continue
                print(
                    f"{name:18} {row['file_bytes'] / 1e6:5.1f} {row['label_ms']:14.1f} {row['label_peer_ms']:5.1f}"
                    f" {row['label_ratio']:6.2f} {row['rgba_ms']:10.1f} {row['rgba_peer_ms']:5.1f}"
                    f" {row['rgba_ratio']:6.2f} {row['nv21_ms']:9.2f} {row['memory_bytes'] / 1e6:11.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
