"""Two peers of `bench.sync`: a tree as one object of `tar | zstd`, by boto3.

    python -m bench.sync_tar URL BUCKET programs|python save TREE NAME
    python -m bench.sync_tar URL BUCKET programs|python restore NAME TARGET

`programs`: GNU tar and zstd, each a process. `python`: the same with Python's libraries, in one.
Last line: JSON with the seconds that it took, without the start of Python.
"""

import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import IO, cast

import boto3
import zstandard
from boto3.s3.transfer import TransferConfig
from botocore.config import Config


def main() -> None:
    url, bucket, way, what, first, second = sys.argv[1:]
    config = Config(request_checksum_calculation="when_required", retries={"mode": "standard"})
    client = boto3.client("s3", endpoint_url=url, config=config)
    transfer = TransferConfig(multipart_chunksize=16 * 1024 * 1024, max_concurrency=8)
    begun = time.perf_counter()
    if what == "save":
        with (_packed_by_programs if way == "programs" else _packed)(first) as packed:
            client.upload_fileobj(packed, bucket, second, Config=transfer)
    else:
        with (_unpacked_by_programs if way == "programs" else _unpacked)(second) as unpacked:
            client.download_fileobj(bucket, first, unpacked, Config=transfer)
    print(json.dumps({"seconds": time.perf_counter() - begun}))


@contextmanager
def _packed_by_programs(tree: str) -> Generator[IO[bytes]]:
    command = ["tar", "-C", tree, "-I", "zstd", "-cf", "-", "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as packing:
        assert packing.stdout is not None
        yield packing.stdout
    assert packing.returncode == 0


@contextmanager
def _unpacked_by_programs(target: str) -> Generator[IO[bytes]]:
    command = ["tar", "-C", target, "-I", "zstd", "-xf", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as unpacking:
        assert unpacking.stdin is not None
        yield _stream(unpacking.stdin)
        unpacking.stdin.close()
    assert unpacking.returncode == 0


@contextmanager
def _packed(tree: str) -> Generator[IO[bytes]]:
    def pack(sink: IO[bytes]) -> None:
        with (
            zstandard.ZstdCompressor().stream_writer(sink) as compressed,
            tarfile.open(mode="w|", fileobj=compressed) as tar,
        ):
            tar.add(tree, ".")

    ours, other = os.pipe()
    with os.fdopen(ours, "rb") as packed, _beside(pack, os.fdopen(other, "wb")):
        yield packed


@contextmanager
def _unpacked(target: str) -> Generator[IO[bytes]]:
    def unpack(source: IO[bytes]) -> None:
        with (
            zstandard.ZstdDecompressor().stream_reader(source) as content,
            tarfile.open(mode="r|", fileobj=content) as tar,
        ):
            tar.extractall(target, filter="data")

    other, ours = os.pipe()
    with _beside(unpack, os.fdopen(other, "rb")), os.fdopen(ours, "wb") as sink:
        yield _stream(sink)


@contextmanager
def _beside(act: Callable[[IO[bytes]], None], end: IO[bytes]) -> Generator[None]:
    """`act` in a thread, with its end of a pipe; what it raises is raised here."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with end:
                act(end)
        except BaseException as error:  # noqa: BLE001  # of another thread: told by the first
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failed:
        raise failed[0]


def _stream(pipe: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", _Pipe(pipe))


class _Pipe:
    """Without a place to seek to: its parts come in order."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.write = pipe.write


if __name__ == "__main__":
    main()
