"""Makes the photos and pixel buffers of tests/conformance from the sample photo, with Pillow.

    python make_conformance_photos.py OUT_FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

SAMPLE = Path(__file__).parents[1] / "data" / "sample.jpg"
WIDTH, HEIGHT = 90, 120
ROW_STRIDE_RGBA = WIDTH * 4 + 24
ROW_STRIDE_LUMA = 96


def ycbcr(image):
    """Full-range BT.601 planes, chroma halved in both directions."""
    y, u, v = image.convert("YCbCr").split()
    half = (WIDTH // 2, HEIGHT // 2)
    return [np.asarray(y), *(np.asarray(c.resize(half, Image.Resampling.BOX)) for c in (u, v))]


def rows(plane, stride):
    """A plane's bytes with rows `stride` bytes apart; what lies between is no picture."""
    padded = np.full((plane.shape[0], stride), 0xEE, np.uint8)
    padded[:, : plane.shape[1]] = plane
    return padded.tobytes()


def main(out):
    sample = Image.open(SAMPLE)
    small = sample.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees clockwise
    turned = small.rotate(90, expand=True)
    turned.save(out / "turned.jpg", quality=90, exif=exif)
    small.save(out / "progressive.jpg", quality=85, progressive=True)
    small.convert("L").save(out / "grey.jpg", quality=85)
    small.save(out / "lossless.webp", lossless=True)
    small.quantize(64).save(out / "palette.gif")
    small.resize((45, 60)).save(out / "small.bmp")
    shape = Image.fromarray(np.where(np.asarray(small.convert("L")) > 90, 255, 0).astype(np.uint8))
    transparent = small.convert("RGBA")
    transparent.putalpha(shape)
    transparent.resize((60, 80)).save(out / "transparent.png", optimize=True)
    Image.new("RGB", (64, 64), (40, 110, 60)).save(out / "one_colour.png")
    (out / "cut_short.jpg").write_bytes((out / "progressive.jpg").read_bytes()[:200])
    (out / "no_photo.txt").write_text("This is no photo.\n")

    rgba = np.asarray(small.convert("RGBA"))
    (out / "rgba_rows_384.raw").write_bytes(rows(rgba.reshape(HEIGHT, -1), ROW_STRIDE_RGBA))
    bgra = np.ascontiguousarray(rgba[..., [2, 1, 0, 3]])
    (out / "bgra.raw").write_bytes(bgra.tobytes())
    y, u, v = ycbcr(small)
    chroma = np.stack([v, u], axis=-1).reshape(HEIGHT // 2, WIDTH)
    (out / "nv21_rows_96.raw").write_bytes(rows(y, ROW_STRIDE_LUMA) + rows(chroma, ROW_STRIDE_LUMA))
    (out / "i420.raw").write_bytes(y.tobytes() + u.tobytes() + v.tobytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
