"""Draws tests/data/sample.jpg: a T-shirt lying on a wooden floor, as a seller would photograph it.

The datasets stay outside the tree, yet a newcomer's first command needs a photo. So this one is
drawn: floor boards, a garment with a height field for folds (lit from the upper left), a soft
shadow, knit, and what a phone adds (vignette, slight blur, noise, JPEG). Fixed seed: the versions
pinned in requirements.txt draw the committed file again (test_sample.py compares them).

    python draw_sample.py OUT.jpg
"""

import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 480, 640
SCALE = 2  # drawn twice as large, then reduced: the anti-aliasing of a lens
SEED = 20


def blur(field, radius):
    """Gaussian blur of a float field (Pillow's is 8-bit, too coarse to take slopes of)."""
    reach = int(np.ceil(3 * radius))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / radius) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (reach, reach)
        padded = np.pad(field, pad, mode="edge")
        size = field.shape[axis]
        field = sum(
            weight * np.take(padded, range(i, i + size), axis=axis) for i, weight in enumerate(kernel)
        )
    return field


def noise(rng, height, width, cell_y, cell_x):
    """Smooth noise in -1..1 whose features are about cell_y x cell_x pixels large."""
    grid = rng.uniform(-1, 1, (int(height // cell_y) + 3, int(width // cell_x) + 3)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.BICUBIC), np.float64)


def floor(rng, height, width):
    """Oak boards running slightly askew, each with its own tone, grain and seam."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    across = x * 0.995 + y * 0.06
    along = y * 0.995 - x * 0.06
    board_width = 176.0
    board = np.floor(across / board_width).astype(int)
    within = across / board_width - board
    count = board.max() - board.min() + 1
    tone = rng.uniform(-0.07, 0.07, count)[board - board.min()]
    shift = rng.uniform(0, 900, count)[board - board.min()]
    grain_fine = noise(rng, height, width, 90, 2.5)
    grain = noise(rng, height, width, 260, 9)
    waves = np.sin((within * 9 + 0.9 * noise(rng, height, width, 300, 60) + shift) * 2 * np.pi / 1.7)
    light = 0.62 + tone + 0.035 * grain + 0.03 * grain_fine + 0.022 * waves
    seam = np.minimum(within, 1 - within) * board_width
    light -= 0.30 * np.exp(-((seam / 2.0) ** 2))
    light += 0.05 * np.exp(-(((seam - 4) / 2.5) ** 2))
    end = np.abs((along + shift * 1.7) % 1150.0 - 575.0)
    light -= 0.28 * np.exp(-((end / 2.0) ** 2))
    colour = np.array([0.86, 0.66, 0.46])
    image = light[..., None] * (colour / 0.66)
    image[..., 2] -= 0.03 * grain
    return image


def spline(points, closed=True, steps=24):
    """Catmull-Rom through the points: cloth has no straight edges."""
    points = np.asarray(points, np.float64)
    out = []
    count = len(points)
    for i in range(count if closed else count - 1):
        if closed:
            p0, p1, p2, p3 = (points[(i + k) % count] for k in (-1, 0, 1, 2))
        else:
            p0, p1, p2, p3 = (points[min(max(i + k, 0), count - 1)] for k in (-1, 0, 1, 2))
        t = np.linspace(0, 1, steps, endpoint=False)[:, None]
        out.append(
            0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
        )
    return np.concatenate(out)


def mask(points, height, width):
    image = Image.new("L", (width, height), 0)
    ImageDraw.Draw(image).polygon([tuple(p) for p in points], fill=255)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.8)), np.float64) / 255


def stroke(points, height, width, line_width, soft):
    image = Image.new("L", (width, height), 0)
    ImageDraw.Draw(image).line([tuple(p) for p in points], fill=255, width=line_width, joint="curve")
    return np.asarray(image.filter(ImageFilter.GaussianBlur(soft)), np.float64) / 255


def fold(y, x, start, end, width, bend=0.0):
    """A ridge of cloth from start to end (pixels), fading at both ends."""
    (x0, y0), (x1, y1) = start, end
    dx, dy = x1 - x0, y1 - y0
    length = np.hypot(dx, dy)
    along = ((x - x0) * dx + (y - y0) * dy) / length**2
    across = ((x - x0) * dy - (y - y0) * dx) / length
    across = across + bend * np.sin(np.clip(along, 0, 1) * np.pi)
    fade = np.clip(np.sin(np.clip(along, 0, 1) * np.pi), 0, 1) ** 0.7
    return fade * np.exp(-((across / width) ** 2))


def draw():
    rng = np.random.default_rng(SEED)
    height, width = HEIGHT * SCALE, WIDTH * SCALE
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    image = floor(rng, height, width)

    # Outline in a 480 x 640 frame, from the left of the collar round by the right sleeve.
    outline = [
        (192, 112), (168, 120), (134, 131), (104, 146), (84, 166), (60, 194), (38, 222), (26, 240),
        (42, 256), (72, 274), (96, 285), (108, 274), (120, 256), (127, 252), (131, 300), (131, 360),
        (128, 430), (125, 500), (124, 538), (131, 545), (190, 553), (250, 556), (310, 551), (358, 544), (363, 537),
        (360, 490), (357, 420), (355, 350), (356, 296), (358, 252), (366, 256), (378, 272), (390, 284),
        (414, 272), (444, 254), (459, 238), (448, 219), (424, 190), (402, 162), (380, 144), (350, 130),
        (316, 119), (293, 112),
        (286, 130), (270, 147), (243, 154), (216, 147), (199, 130),
    ]
    angle = np.deg2rad(-2.2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([242.0, 335.0])

    def place(points):
        points = (np.asarray(points, np.float64) - centre) @ turn.T + centre
        return points * SCALE

    edge = spline(place(outline))
    edge = edge + np.stack([np.sin(np.arange(len(edge)) / 17.0), np.cos(np.arange(len(edge)) / 23.0)], 1) * 1.6
    front = mask(edge, height, width)

    # The back of the neck shows behind the front's collar.
    back_edge = spline(place([(192, 118), (216, 112), (243, 110), (270, 112), (293, 118), (284, 140), (243, 160), (202, 140)]))
    back = mask(back_edge, height, width)
    cloth = np.maximum(front, back)

    # Contact shadow, and a wider one away from the window.
    for radius, shift, depth in ((5, 5, 0.55), (20, 14, 0.38), (46, 26, 0.18)):
        shadow = np.asarray(
            Image.fromarray((np.roll(cloth, (shift, shift), (0, 1)) * 255).astype(np.uint8)).filter(
                ImageFilter.GaussianBlur(radius)
            ),
            np.float64,
        ) / 255
        image *= (1 - depth * shadow)[..., None]

    # Height field: a slightly raised body, long soft drapes, sharper creases at armpits and hem.
    relief = 9.0 * blur(cloth, 14)
    folds = [
        ((135, 268), (205, 330), 7, 6, 5), ((140, 262), (190, 400), 9, 5, -9), ((350, 262), (280, 330), 7, 6, -5),
        ((347, 266), (305, 410), 9, 5, 8), ((118, 160), (128, 285), 6, 5, 4), ((372, 160), (352, 280), 6, 5, -4),
        ((92, 200), (118, 292), 5, 3, 3), ((396, 200), (370, 292), 5, 3, -3), ((180, 330), (168, 545), 12, 5, 6),
        ((236, 300), (226, 550), 16, 4, -9), ((300, 340), (316, 548), 12, 5, -7), ((200, 160), (246, 250), 10, 3, 8),
        ((290, 158), (250, 240), 10, 3, -8), ((150, 440), (280, 470), 9, 3, 7), ((330, 420), (230, 500), 9, 3, -6),
        ((146, 500), (240, 540), 7, 3, 4), ((340, 505), (270, 545), 7, 3, -4), ((160, 140), (215, 190), 8, 2.5, 3),
        ((330, 140), (278, 190), 8, 2.5, -3),
    ]
    for start, end, spread, rise, bend in folds:
        a, b = place([start, end])
        relief += rise * 1.25 * fold(y, x, a, b, spread * SCALE, bend * SCALE)
    relief += 3.2 * noise(rng, height, width, 150, 110) + 1.1 * noise(rng, height, width, 46, 60)
    relief += 0.28 * noise(rng, height, width, 12, 12)

    # Stitched hems: sleeves, bottom, collar rib.
    collar = spline(place([(194, 119), (201, 134), (217, 149), (243, 156), (269, 149), (285, 134), (291, 119)]), closed=False)
    rib = stroke(collar, height, width, 22, 1.2)
    rib_seam = stroke(spline(place([(188, 121), (195, 139), (213, 157), (243, 165), (273, 157), (291, 139), (297, 121)]), closed=False), height, width, 3, 1.1)
    hem = [
        [(130, 531), (190, 541), (250, 544), (310, 539), (358, 529)],
        [(130, 528), (190, 538), (250, 541), (310, 536), (358, 526)],
        [(32, 231), (48, 247), (77, 264), (103, 276)],
        [(453, 229), (438, 246), (408, 264), (383, 275)],
    ]
    seam = sum(stroke(spline(place(h), closed=False), height, width, 2, 0.9) for h in hem)
    shoulder = [[(140, 136), (128, 180), (126, 225), (136, 264)], [(346, 135), (360, 180), (362, 225), (351, 264)]]
    joint = sum(stroke(spline(place(s), closed=False), height, width, 4, 1.6) for s in shoulder)
    relief += 2.0 * rib - 1.6 * rib_seam - 1.1 * joint - 0.8 * np.clip(seam, 0, 1)

    slope_y, slope_x = np.gradient(relief)
    light = np.array([-0.50, -0.62, 0.72])
    light /= np.linalg.norm(light)
    normal = np.stack([-slope_x * 1.5, -slope_y * 1.5, np.ones_like(relief)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    shade = np.clip(normal @ light, 0, None) / light[2]
    shade = 0.42 + 0.58 * shade
    # Valleys get less of the sky.
    shade *= 1 - np.clip((blur(relief, 16) - relief) * 0.035, -0.10, 0.22)

    knit = 0.018 * np.sin(x * 2 * np.pi / 3.1 + 0.4 * np.sin(y / 3.0)) + 0.014 * rng.standard_normal((height, width))
    dye = np.array([0.10, 0.13, 0.24])
    heather = 1 + 0.05 * noise(rng, height, width, 5, 3) + 0.05 * noise(rng, height, width, 300, 240)
    body = dye * (shade * (1 + knit) * heather)[..., None]
    # Cotton fuzz: a pale sheen where the cloth turns away from the viewer.
    body += (0.10 * (1 - normal[..., 2]) * (shade > 0.5))[..., None] * np.array([0.8, 0.9, 1.0])

    # A faded chest print, following the folds.
    warp = relief * 0.9
    u, v = (x + warp * 0.8) / SCALE, (y + warp * 0.8) / SCALE
    rows = [(252, 262), (268, 290), (296, 304)]
    print_mask = np.zeros_like(u)
    for top, bottom in rows:
        print_mask += ((v > top) & (v < bottom) & (np.abs(u - 244) < 66)).astype(np.float64)
    sun = np.hypot(u - 244, v - 236)
    print_mask = np.where((sun < 42) & (v < 246), 1.0, print_mask)
    print_mask = np.where((np.abs(sun - 30) < 1.6) & (v < 246), 0.0, print_mask)
    wear = np.clip(0.92 + 0.22 * noise(rng, height, width, 7, 7), 0, 1)
    print_mask = blur(print_mask, 1.2) * wear * 0.9
    ink = np.array([0.93, 0.90, 0.82]) * (shade * 0.98)[..., None]
    body = body * (1 - print_mask[..., None]) + ink * print_mask[..., None]

    # The inside of the back, darker, with its label.
    inside = dye * 0.55 * (0.8 + 0.35 * (y - y.min()) / height)[..., None] * (1 + knit)[..., None]
    inside *= (1 - 0.45 * blur(front, 10))[..., None]
    tag = mask(place([(233, 119), (254, 119), (255, 134), (233, 134)]), height, width)
    inside = inside * (1 - tag[..., None]) + np.array([0.80, 0.80, 0.78]) * 0.72 * tag[..., None]
    lines = tag * ((np.floor(y / 5) % 2) == 0) * (np.abs(x / SCALE - 244) < 7)
    inside *= (1 - 0.4 * lines)[..., None]

    image = image * (1 - back[..., None]) + inside * back[..., None]
    image = image * (1 - front[..., None]) + body * front[..., None]
    back_rib = stroke(spline(place([(192, 119), (216, 113), (243, 111), (270, 113), (293, 119)]), closed=False), height, width, 13, 1.1) * cloth
    image = image * (1 - back_rib[..., None]) + (dye * 0.95 * (1 + knit)[..., None]) * back_rib[..., None]

    # What the room and the phone add: window light falling off, a lens, a sensor, sharpening.
    image *= (1.10 - 0.26 * (x / width * 0.45 + y / height * 0.55))[..., None]
    radius = np.hypot((x - width / 2) / width, (y - height / 2) / height)
    image *= (1 - 0.28 * radius**2)[..., None]
    image *= np.array([1.03, 1.0, 0.95])
    image = np.clip(image, 0, 1) ** (1 / 1.12)
    picture = Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(1.0)).resize((WIDTH, HEIGHT), Image.LANCZOS)
    pixels = np.asarray(picture, np.float64) / 255
    luma = rng.standard_normal((HEIGHT, WIDTH, 1)) * 0.013
    chroma = rng.standard_normal((HEIGHT, WIDTH, 3)) * 0.008
    pixels = pixels + (luma + chroma) * (0.5 + pixels)
    picture = Image.fromarray((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8))
    return picture.filter(ImageFilter.UnsharpMask(radius=1.2, percent=40, threshold=2))


def save(picture, file):
    picture.save(file, "JPEG", quality=88, subsampling=2, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    save(draw(), sys.argv[1])
