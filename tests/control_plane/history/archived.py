"""Archives taken apart, changed, and put together again so that only the change is wrong."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

Members = dict[str, bytes]


def members_of(archive: bytes) -> Members:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = {one.name: tar.extractfile(one) for one in tar.getmembers()}
        return {name: file.read() for name, file in found.items() if file is not None}


def whole(name: str, content: bytes, **changes: Any) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in changes.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def sealed(members: Members) -> bytes:
    """With an end that says what is there now."""
    body = b"".join(whole(name, one) for name, one in members.items() if name != "end.json")
    end = json.loads(members["end.json"])
    end["sha256"] = hashlib.sha256(body).hexdigest()
    return body + whole("end.json", json.dumps(end).encode()) + bytes(1024)


def with_json(members: Members, name: str, change: Callable[[dict[str, Any]], None]) -> bytes:
    value = json.loads(members[name])
    change(value)
    return sealed({**members, name: json.dumps(value).encode()})


def with_manifest(members: Members, manifest: bytes) -> bytes:
    head = json.loads(members["berth.json"])
    head["manifest_sha256"] = hashlib.sha256(manifest).hexdigest()
    changed = {"berth.json": json.dumps(head).encode(), "manifest": manifest}
    return sealed({**members, **changed})


def with_lines(members: Members, change: Callable[[list[dict[str, Any]]], None]) -> bytes:
    """The counts in its end are those of what is there now."""
    name = "transcript/000000.jsonl"
    lines = [json.loads(line) for line in members[name].splitlines()]
    change(lines)
    end = json.loads(members["end.json"])
    end["runs"] = sum(line["type"] == "run" for line in lines)
    end["events"] = len(lines) - end["runs"]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return sealed({**members, name: content, "end.json": json.dumps(end).encode()})
