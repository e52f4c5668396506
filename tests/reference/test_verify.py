"""Verdicts, familiarity and the figures of `etalase eval --verify`, each computed again by other code: from the policy in
the default bundle, from the scores that `etalase classify` prints, and from the features that ONNX Runtime finds."""

import json
from pathlib import Path

import bundle_format
import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import DEFAULT_BUNDLE
from PIL import Image, ImageDraw

pytestmark = pytest.mark.data

NEAREST = "the nearest are t-shirt"


@pytest.fixture(scope="module")
def members():
    return bundle_format.read(DEFAULT_BUNDLE.read_bytes())


@pytest.fixture(scope="module")
def policy(members):
    return json.loads(members["policy.json"])


@pytest.fixture(scope="module")
def classes(members):
    return json.loads(members["manifest.json"])["classes"]


@pytest.fixture(scope="module")
def strangers(validation):
    """Photos of groceries."""
    return validation.parent.parent / "not-a-product"


def answers(etalase, classes, paths):
    """Scores in the order of the classes, and familiarities."""
    lines = etalase.json("classify", "--json", "--top", len(classes), *paths)
    scores = [{label["label"]: label["score"] for label in line["labels"]} for line in lines]
    return np.array([[row[c] for c in classes] for row in scores]), np.array([line["familiarity"] for line in lines])


@pytest.fixture(scope="module")
def known(etalase, classes, validation):
    paths = sorted(validation.glob("*/*.jpg"))
    scores, familiarity = answers(etalase, classes, paths)
    return scores, familiarity, np.array([classes.index(path.parent.name) for path in paths])


@pytest.fixture(scope="module")
def told(etalase, validation, strangers):
    (told,) = etalase.json("eval", "--verify", "--unfamiliar", strangers, "--json", validation)
    return told


def auroc(high, low):
    high, low = np.asarray(high)[:, None], np.asarray(low)[None, :]
    return ((high > low) + 0.5 * (high == low)).mean()


def verdict(policy, classes, scores, familiarity, declared):
    """The policy's words, read once more."""
    if familiarity < 0.5:
        return "unsure"
    rules = policy["verification"]
    if scores[declared] >= np.float32(rules["match_from"][classes[declared]]):
        return "match"
    best = int(scores.argmax())
    confusable = classes[best] in rules["confusable"].get(classes[declared], [])
    ahead = rules["mismatch_ahead_confusable" if confusable else "mismatch_ahead"]
    return "mismatch" if best != declared and scores[best] - scores[declared] >= np.float32(ahead) else "unsure"


def test_the_default_bundle_holds_what_is_promised(told):
    assert told["ece"] <= 0.03 < told["ece_softmax"]
    assert told["mismatch_auroc"] >= 0.985
    assert told["declarations"]["match_precision"] >= 0.98
    assert told["declarations"]["mismatch_precision"] >= 0.98
    assert told["coverage"] >= 0.85
    assert told["unfamiliar_auroc"] >= 0.985 > told["unfamiliar_auroc_softmax"]
    assert told["unfamiliar_fpr95"] <= 0.06 < told["unfamiliar_fpr95_softmax"]


def test_figures_follow_from_the_scores(etalase, classes, policy, known, told, strangers):
    scores, familiarity, truth = known
    right = np.zeros(scores.shape, bool)
    right[np.arange(len(truth)), truth] = True
    assert told["mismatch_auroc"] == pytest.approx(auroc(scores[right], scores[~right]), abs=1e-9)
    assert told["accuracy"] == pytest.approx((scores.argmax(1) == truth).mean())

    confusable = policy["verification"]["confusable"]
    wrongly = [classes.index(confusable[classes[t]][0]) for t in truth]
    verdicts = [
        [verdict(policy, classes, s, f, d) for s, f, d in zip(scores, familiarity, declared)]
        for declared in (truth, wrongly)
    ]
    rightly, wrongly = np.array(verdicts)
    assert told["coverage"] == pytest.approx((rightly == "match").mean())
    decided = (rightly != "unsure").sum() + (wrongly != "unsure").sum()
    good = (rightly == "match").sum() + (wrongly == "mismatch").sum()
    assert told["verify_precision"] == pytest.approx(good / decided)

    _, others = answers(etalase, classes, sorted(strangers.glob("*.jpg")))
    assert told["unfamiliar_auroc"] == pytest.approx(auroc(familiarity, others), abs=1e-9)
    threshold = np.sort(familiarity)[::-1][int(np.ceil(0.95 * len(familiarity))) - 1]
    assert told["unfamiliar_fpr95"] == pytest.approx((others >= threshold).mean())


def test_the_error_of_calibration_is_debiased_by_drawing_again(known, told):
    scores, _, truth = known
    order = np.argsort(scores.max(1), kind="stable")
    top, hits = scores.max(1)[order], (scores.argmax(1) == truth)[order]
    bins = [slice(len(top) * b // 15, len(top) * (b + 1) // 15) for b in range(15)]
    share = np.array([len(top[b]) / len(top) for b in bins])
    score = np.array([top[b].mean() for b in bins])
    accuracy = np.array([hits[b].mean() for b in bins])
    counts = np.array([len(top[b]) for b in bins])
    random = np.random.default_rng(7)
    again = random.normal(accuracy, np.sqrt(accuracy * (1 - accuracy) / counts), (20_000, 15))
    plain = (share * abs(score - accuracy)).sum()
    drawn = (share * abs(score - again)).sum(1).mean()
    assert told["ece"] == pytest.approx(2 * plain - drawn, abs=2e-3)


def test_familiarity_is_what_the_features_say(members, policy, known, validation, fit_photo, tmp_path):
    """Features by ONNX Runtime, arithmetic by NumPy. Its integer kernels add as ours do, but saturate on CPUs without VNNI;
    there it computes in float, which rounds elsewhere, by up to 0.055 of a spread."""
    model = onnx.load_from_string(members["model.onnx"])
    last = next(node for node in reversed(model.graph.node) if node.op_type in ("Gemm", "MatMul", "Conv"))
    model.graph.output.append(onnx.helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    cpu = Path("/proc/cpuinfo")
    exact = cpu.exists() and "vnni" in cpu.read_text()
    if not exact:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rules = policy["familiarity"]
    means = np.frombuffer(members["class_means.bin"], np.int8).astype(float).reshape(len(known[0][0]), -1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    paths = sorted(validation.glob("*/*.jpg"))
    for at in range(0, len(paths), 17):
        photo = fit_photo(paths[at], 224, 224, "letterbox")
        logits, features = session.run(None, {session.get_inputs()[0].name: photo[None]})
        features = features.reshape(-1).astype(float)
        likeness = (means @ features).max() / np.linalg.norm(features)
        spreads = [
            (value - rules[name]["mean"]) / rules[name]["deviation"]
            for name, value in (("largest_logit", logits.max()), ("likeness", likeness))
        ]
        familiarity = known[1][at]
        if exact:
            expected = 1 / (1 + np.exp(-(min(spreads) - rules["threshold"]) / 0.5))
            assert familiarity == pytest.approx(expected, abs=0.02), paths[at]
        else:
            told = 0.5 * np.log(familiarity / (1 - familiarity)) + rules["threshold"]
            assert told == pytest.approx(min(spreads), abs=0.06), paths[at]


def test_classify_names_the_verdict(etalase, validation, strangers):
    photo = sorted((validation / "pants").glob("*.jpg"))[0]
    (line,) = etalase.json("classify", "--declared", "pants", "--json", photo)
    assert line["verdict"] == {"kind": "match", "reason": "declared_is_likely", "suggested": None}
    (line,) = etalase.json("classify", "--declared", "hat", "--json", photo)
    assert line["verdict"] == {"kind": "mismatch", "reason": "another_is_likely", "suggested": "pants"}
    (line,) = etalase.json("classify", "--declared", "pants", "--json", sorted(strangers.glob("*.jpg"))[0])
    assert line["verdict"] == {"kind": "unsure", "reason": "unfamiliar", "suggested": None}
    assert line["familiarity"] < 0.5
    (line,) = etalase.json("classify", "--json", photo)
    assert "verdict" not in line
    assert NEAREST in etalase.run("classify", "--declared", "tshirts", photo, status=1).stderr


def test_a_listing_names_the_odd_one_out(etalase, validation, strangers, tmp_path):
    pants = sorted((validation / "pants").glob("*.jpg"))[:3]
    shoe = sorted((validation / "shoes").glob("*.jpg"))[0]
    grocery = sorted(strangers.glob("*.jpg"))[0]
    listing = [pants[0], shoe, pants[1], grocery, pants[2]]
    (told,) = etalase.json("listing", "--declared", "pants", "--json", *listing)
    assert told["labels"][0]["label"] == "pants" and told["verdict"]["kind"] == "match"
    assert told["odd"] == [{"photo": str(shoe), "shows": "shoes"}, {"photo": str(grocery), "shows": None}]
    # A broken photo is named, the others answer.
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    done = etalase.run("listing", "--json", broken, pants[0], status=1)
    told = json.loads(done.stdout)
    assert str(broken) in done.stderr and told["photos"][0]["error"] and told["labels"][0]["label"] == "pants"
    assert "no photo" in etalase.run("listing", broken, status=1).stderr


def drawn(kind, random):
    """A picture of nothing, 400 by 533 pixels."""
    height, width = 533, 400
    y, x = np.mgrid[0:1:height * 1j, 0:1:width * 1j]
    colour = random.integers(0, 256, 3)
    if kind == "flat":
        return Image.new("RGB", (width, height), tuple(int(level) for level in colour))
    if kind == "gradient":
        angle = random.uniform(0, 2 * np.pi)
        share = (np.cos(angle) * x + np.sin(angle) * y + 1.5)[..., None] / 3
        pixels = share * colour + (1 - share) * random.integers(0, 256, 3)
    elif kind == "noise":
        pixels = random.integers(0, 256, (height, width, 3))
    elif kind == "wall":
        light = 200 + 30 * x[..., None] * random.uniform(-1, 1) + random.normal(0, 3, (height, width, 1))
        pixels = light * np.array([1, 0.98, 0.95])
    else:
        picture = Image.new("RGB", (width, height), "white")
        pen = ImageDraw.Draw(picture)
        for line in range(10, height, 16):
            words = "".join(random.choice(list("abcdefghij klmnop qrst uvwxyz 0123456789")) for _ in range(60))
            pen.text((10, line), words, fill=(20, 20, 20))
        return picture
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("kind", ["flat", "gradient", "noise", "wall", "text"])
def test_pictures_of_nothing_are_unfamiliar(etalase, classes, known, kind, tmp_path):
    random = np.random.default_rng(11)
    paths = [tmp_path / f"{at}.png" for at in range(20)]
    for path in paths:
        drawn(kind, random).save(path)
    _, familiarity = answers(etalase, classes, paths)
    assert (familiarity < 0.5).all(), familiarity
    assert auroc(known[1], familiarity) >= 0.985
