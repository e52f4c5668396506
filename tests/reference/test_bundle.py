"""The bundle format as documented, held against core: what one writes the other reads, and
whatever is changed is noticed."""

import hashlib
import json

import bundle_format
import pytest
from conftest import DEFAULT_BUNDLE, SAMPLE


@pytest.fixture(scope="module")
def default():
    return bundle_format.read(DEFAULT_BUNDLE.read_bytes())


def scores(etalase, bundle):
    (line,) = etalase.json("classify", "--json", "--top", 10, "--bundle", bundle, SAMPLE)
    return line["labels"]


def test_default_bundle_is_as_documented_and_small(default):
    assert {"manifest.json", "model.onnx", "labels.json", "card.json"} <= set(default)
    assert DEFAULT_BUNDLE.stat().st_size <= 4_500_000
    classes = json.loads(default["manifest.json"])["classes"]
    labels = json.loads(default["labels.json"])
    assert {"en", "id"} <= set(labels)
    assert {len(names) for names in labels.values()} == {len(classes)}


def test_inspect_tells_the_same(etalase, default):
    (shown,) = etalase.json("inspect", DEFAULT_BUNDLE, "--json")
    manifest = json.loads(default["manifest.json"])
    for key in ("name", "version", "backbone"):
        assert shown[key] == manifest[key]
    assert shown["format"] == bundle_format.VERSION
    assert shown["input"] == [224, 224, 3]
    assert shown["labels"] == json.loads(default["labels.json"])
    assert shown["card"] == json.loads(default["card.json"])
    assert shown["bytes"] == DEFAULT_BUNDLE.stat().st_size
    assert shown["members"] == {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in default.items()
    }


def test_a_bundle_written_from_the_document_is_read(etalase, default, tmp_path):
    # With a member of a later version, which today's reader does not know.
    path = tmp_path / "written.etalase"
    path.write_bytes(bundle_format.write({**default, "golden/from-the-future.bin": b"\1\2\3"}))
    assert scores(etalase, path) == scores(etalase, DEFAULT_BUNDLE)


def refusal(etalase, path):
    """What `classify` and `inspect` say of a bundle that they refuse."""
    told = ""
    for command in (["classify", "--json", "--bundle", path, SAMPLE], ["inspect", path]):
        done = etalase.run(*command, status=1)
        assert path.name in done.stderr + done.stdout, done
        assert "panicked" not in done.stderr, done.stderr
        told = done.stderr + done.stdout
    return told


def test_a_newer_format_version_is_named(etalase, default, tmp_path):
    path = tmp_path / "newer.etalase"
    path.write_bytes(bundle_format.write(default, version=2))
    assert "version 2" in refusal(etalase, path)


def places(data):
    """Offsets of one byte of every kind, by name."""
    table_bytes = int.from_bytes(data[12:16], "little")
    members = json.loads(data[48 : 48 + table_bytes])["members"]
    found = {
        "magic": 0, "version": 11, "table length": 12, "table hash": 20,
        "table": 48 + table_bytes // 2, "end of the table": 47 + table_bytes, "last byte": len(data) - 1,
    }
    end = 48 + table_bytes
    for member in members:
        if member["offset"] > end:
            found[f"gap before {member['name']}"] = end
        found[f"start of {member['name']}"] = member["offset"]
        found[f"middle of {member['name']}"] = member["offset"] + member["bytes"] // 2
        end = member["offset"] + member["bytes"]
    return found


def test_one_changed_byte_anywhere_is_noticed(etalase, default, tmp_path):
    # Three bytes more than a multiple of 64, so that there is a gap whatever the table's length.
    data = bundle_format.write({**default, "odd": bytes(67), "after": b"x"})
    kinds = places(data)
    assert any(kind.startswith("gap") for kind in kinds)
    for kind, offset in kinds.items():
        changed = bytearray(data)
        changed[offset] ^= 0x20
        path = tmp_path / "changed.etalase"
        path.write_bytes(changed)
        assert refusal(etalase, path), kind


@pytest.mark.parametrize("keep", [0, 7, 40, 60, 4096, -1])
def test_a_bundle_cut_short_is_refused(etalase, tmp_path, keep):
    path = tmp_path / "short.etalase"
    path.write_bytes(DEFAULT_BUNDLE.read_bytes()[:keep])
    refusal(etalase, path)


def test_bytes_after_the_last_member_are_refused(etalase, tmp_path):
    path = tmp_path / "long.etalase"
    path.write_bytes(DEFAULT_BUNDLE.read_bytes() + b"\0")
    refusal(etalase, path)
