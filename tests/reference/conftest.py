"""What the reference tests share: the built programs, the photos, and small helpers.

`cargo xtask test` sets the environment (ETALASE_BIN, ETALASE_FIT_PHOTO; ETALASE_DATA and
ETALASE_MODELS for tests marked `data`). A variable that is missing fails the test: nothing passes
by having nothing to read.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TESTS = Path(__file__).resolve().parent.parent
SAMPLE = TESTS / "data" / "sample.jpg"
DEFAULT_BUNDLE = TESTS.parent / "models" / "default.etalase"


def from_environment(name):
    value = os.environ.get(name)
    if not value:
        pytest.fail(f"{name} is not set: run `cargo xtask test`")
    path = Path(value)
    if not path.exists():
        pytest.fail(f"{name}={path}: not there")
    return path


class Program:
    """A built program; `json` is for commands whose stdout is JSON lines."""

    def __init__(self, path):
        self.path = path

    def run(self, *arguments, status=0):
        command = [self.path, *arguments]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments, status=0):
        return [json.loads(line) for line in self.run(*arguments, status=status).stdout.splitlines()]


@pytest.fixture(scope="session")
def etalase():
    return Program(from_environment("ETALASE_BIN"))


@pytest.fixture(scope="session")
def fit_photo(tmp_path_factory):
    """fit_photo(path, width, height, fit) -> the u8 [height, width, 3] that core makes of a photo."""
    program = Program(from_environment("ETALASE_FIT_PHOTO"))
    out = tmp_path_factory.mktemp("fit_photo") / "out.npy"

    def fit(path, width=0, height=0, fit="stretch"):
        program.run(path, width, height, fit, out)
        return np.load(out)[0]

    return fit


@pytest.fixture(scope="session")
def validation():
    """The folder of validation photos, a folder a class."""
    return from_environment("ETALASE_DATA") / "data" / "clothing" / "validation"


@pytest.fixture(scope="session")
def photos(validation):
    """100 validation photos, evenly spread over the classes."""
    paths = sorted(validation.glob("*/*.jpg"))
    chosen = [paths[i * len(paths) // 100] for i in range(100)]
    assert len(set(chosen)) == 100
    return chosen


@pytest.fixture(scope="session")
def tensors(photos):
    """Those photos as Pillow sees them: u8 [100, 224, 224, 3], RGB, resized by BILINEAR."""
    images = (Image.open(path).convert("RGB").resize((224, 224), Image.BILINEAR) for path in photos)
    return np.stack([np.asarray(image, np.uint8) for image in images])
