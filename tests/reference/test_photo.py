"""Core's decoding and resizing held against Pillow's.

Lossless files compare resizing alone (within one level); JPEG decoders may differ by a few levels
where chroma is upsampled, so there the mean counts.
"""

import io
import struct
import zlib

import numpy as np
import pytest
from conftest import SAMPLE, TESTS
from PIL import Image, ImageCms, ImageOps


def difference(ours, reference):
    assert ours.shape == reference.shape
    return np.abs(ours.astype(int) - reference.astype(int))


def stretch(image, width, height):
    return image.resize((width, height), Image.BILINEAR)


def center_crop(image, width, height):
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
    box = (left, top, image.width - left, image.height - top)
    return image.resize((width, height), Image.BILINEAR, box=box)


def letterbox(image, width, height):
    scale = min(width / image.width, height / image.height)
    inner = image.resize(
        (max(1, int(image.width * scale + 0.5)), max(1, int(image.height * scale + 0.5))), Image.BILINEAR
    )
    canvas = Image.new("RGB", (width, height), (128, 128, 128))
    canvas.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
    return canvas


FITS = {"stretch": stretch, "letterbox": letterbox, "center-crop": center_crop}


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(480, 640), (37, 41), (1000, 90), (224, 224), (1, 1), (3, 500)])
def test_resizing_is_pillow_s(fit_photo, tmp_path, fit, size):
    # Noise over the sample photo: resizing that skips pixels cannot hide in smooth surfaces.
    noise = np.random.default_rng(7).integers(0, 256, (size[1], size[0], 3), np.uint8)
    photo = Image.blend(Image.open(SAMPLE).resize(size), Image.fromarray(noise), 0.6)
    path = tmp_path / "photo.png"
    photo.save(path)
    ours = fit_photo(path, 224, 224, fit)
    assert difference(ours, np.asarray(FITS[fit](photo, 224, 224))).max() <= 1


def test_the_bound_tells_other_filters_apart(fit_photo, tmp_path):
    photo = Image.open(SAMPLE).convert("RGB")
    path = tmp_path / "photo.png"
    photo.save(path)
    ours = fit_photo(path, 224, 224)
    for other in (Image.NEAREST, Image.BICUBIC, Image.BOX, Image.HAMMING):
        assert difference(ours, np.asarray(photo.resize((224, 224), other))).max() > 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed(fit_photo, tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    options = {"jpg": {"quality": 95}, "png": {}, "webp": {"lossless": True}}[suffix]
    Image.open(SAMPLE).resize((120, 160)).save(path, exif=exif, **options)
    reference = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    assert reference.size == ((120, 160) if orientation < 5 else (160, 120))
    off = difference(fit_photo(path), np.asarray(reference))
    assert off.mean() < 1 if suffix == "jpg" else off.max() == 0


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "I;16", "1"])
def test_png_of_any_mode_is_decoded(fit_photo, tmp_path, mode):
    photo = Image.open(SAMPLE).resize((64, 48)).convert("RGB")
    alpha = Image.linear_gradient("L").resize(photo.size)
    if mode in ("LA", "RGBA"):
        stored = photo.convert(mode)
        stored.putalpha(alpha)
    elif mode == "I;16":
        stored = Image.fromarray(np.asarray(photo.convert("L"), np.uint16) * 257)
    else:
        stored = photo.convert(mode)
    path = tmp_path / "photo.png"
    stored.save(path)
    # Alpha lies over white.
    if mode in ("LA", "RGBA"):
        white = Image.new("RGBA", photo.size, "white")
        reference = Image.alpha_composite(white, stored.convert("RGBA")).convert("RGB")
    elif mode == "I;16":
        reference = photo.convert("L").convert("RGB")
    else:
        reference = stored.convert("RGB")
    assert difference(fit_photo(path), np.asarray(reference)).max() <= 1


def test_an_interlaced_png_is_decoded(fit_photo, tmp_path):
    """Seven passes over ever finer grids (PNG specification, 8.2), which Pillow reads and does not write."""
    pixels = np.asarray(Image.open(SAMPLE).convert("RGB").resize((61, 45)))
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = [b"\0" + row.tobytes() for x, y, dx, dy in passes for row in pixels[y::dy, x::dx]]

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 61, 45, 8, 2, 0, 0, 1)
    path = tmp_path / "interlaced.png"
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"".join(rows))), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    assert difference(np.asarray(Image.open(path)), pixels).max() == 0
    assert difference(fit_photo(path), pixels).max() == 0


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_of_any_sampling_is_decoded(fit_photo, tmp_path, subsampling, progressive):
    path = tmp_path / "photo.jpg"
    Image.open(SAMPLE).save(path, quality=90, subsampling=subsampling, progressive=progressive)
    off = difference(fit_photo(path), np.asarray(Image.open(path)))
    assert off.mean() < 0.6, off.mean()


def test_grey_jpeg_is_decoded(fit_photo, tmp_path):
    path = tmp_path / "grey.jpg"
    Image.open(SAMPLE).convert("L").save(path, quality=90)
    assert difference(fit_photo(path), np.asarray(Image.open(path).convert("RGB"))).max() <= 2


@pytest.mark.parametrize("path", sorted((TESTS / "data" / "jpeg").glob("[!a]*.jpg")), ids=lambda path: path.stem)
def test_jpeg_of_rare_kinds_is_decoded(fit_photo, path):
    reference = Image.open(path)
    off = difference(fit_photo(path), np.asarray(reference.convert("RGB")))
    # libjpeg repeats chroma that is stored at a quarter; we interpolate.
    bound = 2.5 if path.stem in ("sampling-411", "sampling-410") else 0.9
    assert off.mean() < bound, off.mean()


@pytest.mark.parametrize("options", [{"restart_marker_blocks": 1}, {"restart_marker_rows": 1}, {"keep_rgb": True}, {"optimize": True}])
def test_jpeg_with_options_is_decoded(fit_photo, tmp_path, options):
    path = tmp_path / "photo.jpg"
    Image.open(SAMPLE).save(path, quality=85, **options)
    assert difference(fit_photo(path), np.asarray(Image.open(path))).mean() < 0.6


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_gif_and_bmp_are_decoded(fit_photo, tmp_path, mode):
    stored = Image.open(SAMPLE).resize((65, 48)).convert(mode)
    for suffix in ("gif", "bmp"):
        path = tmp_path / f"photo.{suffix}"
        stored.save(path)
        assert difference(fit_photo(path), np.asarray(Image.open(path).convert("RGB"))).max() == 0, suffix


def test_of_an_animated_gif_the_first_frame(fit_photo, tmp_path):
    path = tmp_path / "moving.gif"
    first = Image.open(SAMPLE).resize((64, 48)).convert("P")
    first.save(path, save_all=True, append_images=[first.rotate(180)], duration=100)
    assert difference(fit_photo(path), np.asarray(Image.open(path).convert("RGB"))).max() == 0


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_display_p3_becomes_srgb(fit_photo, tmp_path, suffix):
    profile = (TESTS / "data" / "display-p3.icc").read_bytes()
    # The sample's colours as P3's numbers, and the primaries beside them.
    photo = Image.open(SAMPLE).convert("RGB").resize((120, 160))
    for at, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)]):
        photo.paste(colour, (at * 24, 0, at * 24 + 24, 32))
    path = tmp_path / f"p3.{suffix}"
    options = {"jpg": {"quality": 97, "subsampling": 0}, "png": {}, "webp": {"lossless": True}}[suffix]
    photo.save(path, icc_profile=profile, **options)
    stored = Image.open(path).convert("RGB")
    converted = ImageCms.profileToProfile(stored, io.BytesIO(profile), ImageCms.createProfile("sRGB"))
    off = difference(fit_photo(path), np.asarray(converted))
    assert off.mean() < 0.8 and np.quantile(off, 0.999) <= 3, (off.mean(), off.max())
    assert difference(np.asarray(stored), np.asarray(converted)).mean() > 2


def enlarged(photo, seed=1):
    """A photo at 12 megapixels, with a sensor's noise."""
    size = (3000, 4000) if photo.height >= photo.width else (4000, 3000)
    large = np.asarray(photo.convert("RGB").resize(size, Image.BICUBIC), np.float32)
    noise = np.random.default_rng(seed).normal(0, 3, large.shape[:2]).astype(np.float32)
    return Image.fromarray(np.clip(large + noise[..., None], 0, 255).astype(np.uint8))


@pytest.mark.parametrize("side", [224, 331, 500, 900])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_large_jpeg_is_seen_as_decoded_in_full(fit_photo, tmp_path, progressive, side):
    path = tmp_path / "large.jpg"
    enlarged(Image.open(SAMPLE)).save(path, quality=90, progressive=progressive)
    reference = letterbox(Image.open(path).convert("RGB"), side, side)
    off = difference(fit_photo(path, side, side, "letterbox"), np.asarray(reference))
    assert off.mean() < 0.8, off.mean()


@pytest.mark.data
def test_a_smaller_decoding_gives_the_same_answer(etalase, validation, tmp_path):
    """JPEG files of 12 megapixels, against their pixels decoded in full by Pillow: all validation photos, since what
    changes its answer are the few whose two best classes are nearly even."""
    photos = sorted(validation.glob("*/*.jpg"))
    assert len(photos) == 341
    same = 0
    for start in range(0, len(photos), 8):
        files = []
        for at, photo in enumerate(photos[start : start + 8]):
            stem = tmp_path / str(at)
            enlarged(Image.open(photo), at).save(stem.with_suffix(".jpg"), quality=90)
            Image.open(stem.with_suffix(".jpg")).save(stem.with_suffix(".bmp"))
            files += [stem.with_suffix(".jpg"), stem.with_suffix(".bmp")]
        best = [line["labels"][0]["label"] for line in etalase.json("classify", "--json", "--top", 1, *files)]
        assert len(best) == len(files)
        same += sum(smaller == full for smaller, full in zip(best[::2], best[1::2]))
    assert same >= 0.99 * len(photos), f"{same} of {len(photos)}"


@pytest.mark.data
def test_resizing_of_real_photos_is_pillow_s(fit_photo, photos, tmp_path):
    path = tmp_path / "photo.png"
    for photo in photos[::2]:
        image = Image.open(photo).convert("RGB")
        image.save(path, compress_level=1)
        ours = fit_photo(path, 224, 224)
        assert difference(ours, np.asarray(stretch(image, 224, 224))).max() <= 1, photo


@pytest.mark.data
def test_real_photos_are_decoded_as_by_pillow(fit_photo, photos, tensors):
    for photo, reference in zip(photos[::2], tensors[::2]):
        off = difference(fit_photo(photo, 224, 224), reference)
        assert off.mean() < 0.6, f"{photo}: mean {off.mean():.2f}, largest {off.max()}"
