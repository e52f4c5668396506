"""The sample photo: drawn by the committed script, and what the first command of the README shows."""

import io

import draw_sample
import numpy as np
from conftest import SAMPLE
from PIL import Image


def test_the_script_draws_the_committed_photo():
    drawn = io.BytesIO()
    draw_sample.save(draw_sample.draw(), drawn)
    ours, stored = (np.asarray(Image.open(file), int) for file in (drawn, SAMPLE))
    # The last bit of a sine differs from one processor to the next.
    assert np.abs(ours - stored).mean() < 0.1


def test_it_is_named_a_t_shirt(etalase):
    (line,) = etalase.json("classify", "--json", SAMPLE)
    assert line["photo"].endswith("sample.jpg")
    assert line["labels"][0]["label"] == "t-shirt", line
    assert line["decode_ms"] > 0 and line["run_ms"] > 0
