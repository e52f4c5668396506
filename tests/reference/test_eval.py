"""`etalase eval` on the validation photos: the accuracy that is promised, and every figure
recomputed from the CSV by other code."""

import csv
import json
from collections import Counter

import bundle_format
import pytest
from conftest import DEFAULT_BUNDLE

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def evaluation(etalase, validation, tmp_path_factory):
    """(the command's JSON, the rows of its CSV)"""
    path = tmp_path_factory.mktemp("eval") / "eval.csv"
    (told,) = etalase.json("eval", "--json", "--csv", path, validation)
    with open(path, newline="") as file:
        return told, list(csv.DictReader(file))


@pytest.fixture(scope="module")
def card():
    return json.loads(bundle_format.read(DEFAULT_BUNDLE.read_bytes())["card.json"])


def test_accuracy_is_what_was_promised(evaluation):
    told, _ = evaluation
    assert told["accuracy"] >= 0.89
    assert told["accuracy"] <= told["top3_accuracy"] <= 1
    assert told["skipped"] == 0


def test_every_photo_is_counted_once(evaluation, validation):
    told, rows = evaluation
    photos = {path.name: path.parent.name for path in validation.glob("*/*.jpg")}
    assert told["photos"] == len(rows) == len(photos)
    assert {row["photo"].replace("\\", "/").split("/")[-1]: row["label"] for row in rows} == photos


def test_figures_follow_from_the_csv(evaluation):
    told, rows = evaluation
    labels = told["labels"]
    truth_and_answer = Counter((row["label"], row["predicted"]) for row in rows)
    right = sum(count for (truth, answer), count in truth_and_answer.items() if truth == answer)
    assert told["accuracy"] == pytest.approx(right / len(rows), abs=1e-9)
    assert told["confusion"] == [[truth_and_answer[t, p] for p in labels] for t in labels]

    for label in labels:
        hits = truth_and_answer[label, label]
        support = sum(count for (truth, _), count in truth_and_answer.items() if truth == label)
        named = sum(count for (_, answer), count in truth_and_answer.items() if answer == label)
        precision = hits / named if named else 0
        recall = hits / support if support else 0
        f1 = 2 * precision * recall / (precision + recall) if hits else 0
        shown = told["per_class"][label]
        assert shown["support"] == support
        assert (shown["precision"], shown["recall"], shown["f1"]) == pytest.approx((precision, recall, f1), abs=1e-6)
    assert set(told["per_class"]) == set(labels)


def test_calibration_error_follows_from_the_csv(evaluation):
    """ECE over 15 bins of equal width (Guo et al., 2017): sum of |B|/n * |accuracy(B) - confidence(B)|."""
    told, rows = evaluation
    error = 0.0
    for i in range(15):
        bin = [row for row in rows if i / 15 < float(row["score"]) <= (i + 1) / 15]
        accuracy = sum(row["label"] == row["predicted"] for row in bin)
        error += abs(accuracy - sum(float(row["score"]) for row in bin)) / len(rows)
    assert told["ece"] == pytest.approx(error, abs=1e-5)


def test_model_card_says_what_is_measured(evaluation, card):
    told, _ = evaluation
    int8, exact = card["accuracy"]["int8"], card["accuracy"]["float"]
    # Three decimals: a photo is 0.003 here, and other processors may turn one near-tie.
    assert int8["accuracy"] == pytest.approx(told["accuracy"], abs=0.0031)
    assert abs(int8["accuracy"] - exact["accuracy"]) <= 0.01, "int8 within one point of float"
    assert int8["photos"] == exact["photos"] == told["photos"]
    assert "etalase eval" in int8["command"]
    assert "evaluate" in exact["command"]
