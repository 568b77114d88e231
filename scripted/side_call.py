"""Calls that an agent makes beside its conversation: titles, suggestions, its own reviewer.

They quote the conversation, script included, and must not use it up.
"""

import json
from typing import Any

from scripted.scenario import Reply, Said, Tokens
from scripted.wire import Json

SUGGESTION = "[SUGGESTION MODE"
TITLE = "A title"
USAGE = Tokens(10, 2)


def is_side_call(*, tools: list[str], schema: Json | None, conversation: list[Said]) -> bool:
    """Without tools, with an answer in a prescribed shape, or a suggestion of what to ask next."""
    asked = next((said.text for said in reversed(conversation) if said.role == "user"), "")
    return not tools or schema is not None or asked.lstrip().startswith(SUGGESTION)


def side_answer(schema: Json | None) -> Reply:
    text = TITLE if schema is None else json.dumps(_instance(schema))
    return Reply(text=text, usage=USAGE)


def _instance(schema: Json) -> Any:  # noqa: ANN401 - any JSON
    """Small and valid; it denies what it may deny, as a reviewer that knows nothing should."""
    if choices := schema.get("enum"):
        return "deny" if "deny" in choices else choices[0]
    match schema.get("type"):
        case "object":
            properties: dict[str, Json] = schema.get("properties") or {}
            return {name: _instance(one) for name, one in properties.items()}
        case "array":
            return []
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case _:
            return TITLE
