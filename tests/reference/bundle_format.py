"""The bundle format once more, written from ARCHITECTURE.md alone: a reader and a writer.

An independent implementation keeps the document true. Strict where the document is: every byte
belongs to the header, the table, a member, or must be zero.
"""

import hashlib
import json
import struct

MAGIC = b"ETALASE\0"
VERSION = 1
ALIGNMENT = 64


def aligned(offset):
    return -(-offset // ALIGNMENT) * ALIGNMENT


def read(data):
    """bytes of a bundle -> {name: bytes}, in the order of the table."""
    assert data[:8] == MAGIC, "magic"
    version, table_bytes = struct.unpack_from("<II", data, 8)
    assert version == VERSION, f"format version {version}"
    table = data[48 : 48 + table_bytes]
    assert len(table) == table_bytes, "the table is cut short"
    assert hashlib.sha256(data[:16] + table).digest() == data[16:48], "SHA-256 of the table"
    end = 48 + table_bytes
    members = {}
    for member in json.loads(table)["members"]:
        assert set(member) == {"name", "offset", "bytes", "sha256"}, member
        name, offset = member["name"], member["offset"]
        assert offset == aligned(end), f"{name}: at {offset}, expected {aligned(end)}"
        assert not any(data[end:offset]), f"the gap before {name} is not zero"
        end = offset + member["bytes"]
        content = data[offset:end]
        assert len(content) == member["bytes"], f"{name}: cut short"
        assert hashlib.sha256(content).hexdigest() == member["sha256"], f"{name}: SHA-256"
        assert name not in members, f"{name}: twice"
        members[name] = content
    assert end == len(data), f"{len(data) - end} bytes after the last member"
    return members


def write(members, version=VERSION):
    """{name: bytes} -> bytes of a bundle."""
    # The offsets stand in the table, whose length moves the offsets: repeat until both agree.
    start = 0
    while True:
        table, end = [], start
        for name, content in members.items():
            offset = aligned(end)
            sha256 = hashlib.sha256(content).hexdigest()
            table.append({"name": name, "offset": offset, "bytes": len(content), "sha256": sha256})
            end = offset + len(content)
        encoded = json.dumps({"members": table}).encode()
        if 48 + len(encoded) == start:
            break
        start = 48 + len(encoded)
    head = MAGIC + struct.pack("<II", version, len(encoded))
    data = bytearray(head + hashlib.sha256(head + encoded).digest() + encoded)
    for entry, content in zip(table, members.values()):
        data += bytes(entry["offset"] - len(data)) + content
    return bytes(data)
