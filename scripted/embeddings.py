"""OpenAI's Embeddings API: a vector that the text alone decides, and no script."""

import base64
import hashlib
import struct
from typing import cast

from scripted.scenario import Tokens
from scripted.wire import Json

DIMENSIONS = 8


def tokens_of(request: Json) -> Tokens:
    """A token for each word, or those that came as numbers."""
    return Tokens(sum(_count(text) for text in _inputs(request)))


def whole(request: Json) -> Json:
    size = int(request.get("dimensions") or DIMENSIONS)
    packed = request.get("encoding_format") == "base64"
    data: list[Json] = []
    for index, text in enumerate(_inputs(request)):
        vector = _vector(repr(text), size)
        told = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() if packed else vector
        data.append({"object": "embedding", "index": index, "embedding": told})
    used = tokens_of(request).input
    usage = {"prompt_tokens": used, "total_tokens": used}
    return {"object": "list", "data": data, "model": request.get("model"), "usage": usage}


def _inputs(request: Json) -> list[str | list[int]]:
    """A text, texts, a list of token numbers, or several of these."""
    told = request.get("input")
    if isinstance(told, str):
        return [told]
    several = cast("list[str | list[int] | int]", told or [])
    if several and isinstance(several[0], int):
        return [cast("list[int]", several)]
    return cast("list[str | list[int]]", several)


def _count(text: str | list[int]) -> int:
    return len(text.split()) if isinstance(text, str) else len(text)


def _vector(text: str, size: int) -> list[float]:
    """Between -1 and 1."""
    numbers = [hashlib.sha256(f"{index} {text}".encode()).digest()[0] for index in range(size)]
    return [number / 127.5 - 1 for number in numbers]
