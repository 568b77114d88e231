"""Each wire format as the provider's own SDK reads it, with its strict validation: streamed and
whole answers say the same, and the ledger has the numbers that they tell.
"""

from collections.abc import Generator
from typing import Any

import anthropic
import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.fixtures.scripted_model import ScriptedModel, request_of, running_model, script

REPLY = {
    "think": "Let me see.",
    "text": "One, two.\n\nThree.",
    "tools": [["shell", {"command": "ls " + "x" * 100}], ["read", {"paths": ["a", "b"]}]],
    "usage": [100, 20, 50, 7, 30],
}
ARGUMENTS = {"shell": {"command": "ls " + "x" * 100}, "read": {"paths": ["a", "b"]}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Generator[ScriptedModel]:
    with running_model(tmp_path_factory.mktemp("model")) as running:
        yield running


def openai_at(model: ScriptedModel, *, strict: bool) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{model.url}/v1", api_key="k", max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False), _strict_response_validation=strict,
    )  # fmt: skip


@pytest.fixture(scope="module")
def of_openai(model: ScriptedModel) -> Generator[openai.OpenAI]:
    with openai_at(model, strict=True) as client:
        yield client


@pytest.fixture(scope="module")
def of_anthropic(model: ScriptedModel) -> Generator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=model.url, api_key="k", max_retries=0,
        http_client=anthropic.DefaultHttpxClient(trust_env=False), _strict_response_validation=True,
    ) as client:  # fmt: skip
        yield client


def booked(model: ScriptedModel, answer_id: str) -> dict[str, Any]:
    [entry] = [entry for entry in model.ledger() if entry["id"] == answer_id]
    return entry


def numbers(entry: dict[str, Any]) -> list[int]:
    kinds = ("input", "output", "cached", "thought")
    assert entry["complete"] is True
    assert entry["status"] == 200
    return [entry[f"{kind}_tokens"] for kind in kinds]


@pytest.mark.parametrize("streamed", [True, False])
def test_messages__as_anthropics_sdk_reads_them(
    model: ScriptedModel, of_anthropic: anthropic.Anthropic, *, streamed: bool
) -> None:
    asked: Any = request_of("/v1/messages", script(REPLY))
    if streamed:
        with of_anthropic.messages.stream(**asked) as stream:
            message = stream.get_final_message()
    else:
        message = of_anthropic.messages.create(**asked)
    kinds = [block.type for block in message.content]
    assert kinds == ["thinking", "text", "tool_use", "tool_use"]
    [thought, text, *calls] = message.content
    assert thought.type == "thinking"
    assert thought.thinking == REPLY["think"]
    assert text.type == "text"
    assert text.text == REPLY["text"]
    assert {c.name: c.input for c in calls if c.type == "tool_use"} == ARGUMENTS
    assert message.stop_reason == "tool_use"
    used = message.usage
    assert (used.input_tokens, used.cache_creation_input_tokens) == (70, 30)
    assert (used.cache_read_input_tokens, used.output_tokens) == (50, 20)
    assert used.output_tokens_details is not None
    assert used.output_tokens_details.thinking_tokens == 7
    assert numbers(booked(model, message.id)) == [100, 20, 50, 7]


@pytest.mark.parametrize("streamed", [True, False])
def test_responses__as_openais_sdk_reads_them(
    model: ScriptedModel, of_openai: openai.OpenAI, *, streamed: bool
) -> None:
    asked: Any = request_of("/v1/responses", script(REPLY))
    if streamed:
        with of_openai.responses.stream(**asked) as stream:
            response: Any = stream.get_final_response()
    else:
        response = of_openai.responses.create(**asked)
    kinds = [item.type for item in response.output]
    assert kinds == ["reasoning", "message", "function_call", "function_call"]
    assert response.output[0].summary[0].text == REPLY["think"]
    assert response.output_text == REPLY["text"]
    arguments = {item.name: item.arguments for item in response.output[2:]}
    assert arguments.keys() == ARGUMENTS.keys()
    used = response.usage
    details = used.input_tokens_details
    assert (used.input_tokens, details.cached_tokens, details.cache_write_tokens) == (150, 50, 30)
    assert (used.output_tokens, used.output_tokens_details.reasoning_tokens) == (20, 7)
    assert numbers(booked(model, response.id)) == [100, 20, 50, 7]


def test_responses__every_event_in_its_place(
    model: ScriptedModel, of_openai: openai.OpenAI
) -> None:
    asked: Any = request_of("/v1/responses", script(REPLY))
    events = list(of_openai.responses.create(**asked, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    runs = [e.type for i, e in enumerate(events) if i == 0 or events[i - 1].type != e.type]
    call = [
        "response.output_item.added", "response.function_call_arguments.delta",
        "response.function_call_arguments.done", "response.output_item.done",
    ]  # fmt: skip
    assert runs == [
        "response.created", "response.in_progress",
        "response.output_item.added", "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done", "response.output_item.done",
        "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.done",
        "response.content_part.done", "response.output_item.done",
        *call, *call, "response.completed",
    ]  # fmt: skip


def test_responses__a_free_form_tool_in_a_namespace(of_openai: openai.OpenAI) -> None:
    reply = {"tools": [["apply_patch", "*** Begin"], ["finish", {}, "mcp__platform"]]}
    asked: Any = request_of("/v1/responses", script(reply))
    response: Any = of_openai.responses.create(**asked)
    patch, finish = response.output
    assert (patch.type, patch.input) == ("custom_tool_call", "*** Begin")
    assert (finish.type, finish.namespace) == ("function_call", "mcp__platform")


@pytest.mark.parametrize("streamed", [True, False])
def test_chat__as_openais_sdk_reads_it(
    model: ScriptedModel, of_openai: openai.OpenAI, *, streamed: bool
) -> None:
    asked: Any = request_of("/v1/chat/completions", script(REPLY))
    if streamed:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
        state: Any = ChatCompletionStreamState()
        for chunk in of_openai.chat.completions.create(**asked):
            state.handle_chunk(chunk)
        completion: Any = state.get_final_completion()
    else:
        completion = of_openai.chat.completions.create(**asked)
    [choice] = completion.choices
    assert choice.message.content == REPLY["text"]
    assert choice.message.reasoning_content == REPLY["think"]
    assert [call.function.name for call in choice.message.tool_calls] == ["shell", "read"]
    assert choice.finish_reason == "tool_calls"
    used = completion.usage
    assert (used.prompt_tokens, used.prompt_tokens_details.cached_tokens) == (150, 50)
    assert (used.completion_tokens, used.completion_tokens_details.reasoning_tokens) == (20, 7)
    assert numbers(booked(model, completion.id)) == [100, 20, 50, 7]


def test_chat__tells_its_usage_only_to_who_asks(
    model: ScriptedModel, of_openai: openai.OpenAI
) -> None:
    asked: Any = request_of("/v1/chat/completions", script(REPLY))
    chunks = list(of_openai.chat.completions.create(**asked, stream=True))
    assert not any(chunk.usage for chunk in chunks)
    assert numbers(booked(model, chunks[0].id)) == [100, 20, 50, 7]


def test_embeddings__as_openais_sdk_reads_them(
    model: ScriptedModel, of_openai: openai.OpenAI
) -> None:
    with openai_at(model, strict=False) as lenient:  # it asks for base64, against its own model
        answer = lenient.embeddings.create(model="e", input=["a b c", "d"])
    again = of_openai.embeddings.create(model="e", input="a b c", encoding_format="float")
    assert len(answer.data) == 2
    assert answer.data[0].embedding == pytest.approx(again.data[0].embedding, abs=1e-6)
    assert answer.data[0].embedding != answer.data[1].embedding
    assert answer.usage.prompt_tokens == 4
    assert [numbers(entry) for entry in model.ledger()[-2:]] == [[4, 0, 0, 0], [3, 0, 0, 0]]


def test_models__as_both_sdks_read_them(
    of_openai: openai.OpenAI, of_anthropic: anthropic.Anthropic
) -> None:
    names = ["scripted-1", "scripted-2"]
    assert [one.id for one in of_openai.models.list()] == names
    assert [one.id for one in of_anthropic.models.list()] == names


def test_count_tokens__is_paid_by_nobody(
    model: ScriptedModel, of_anthropic: anthropic.Anthropic
) -> None:
    before = len(model.ledger())
    said: Any = [{"role": "user", "content": "hello"}]
    assert of_anthropic.messages.count_tokens(model="m", messages=said).input_tokens > 0
    assert len(model.ledger()) == before
    assert model.log()[-1]["path"] == "/v1/messages/count_tokens"


@pytest.mark.parametrize(
    ("status", "of_theirs", "of_ours"),
    [
        (400, anthropic.BadRequestError, openai.BadRequestError),
        (401, anthropic.AuthenticationError, openai.AuthenticationError),
        (404, anthropic.NotFoundError, openai.NotFoundError),
        (429, anthropic.RateLimitError, openai.RateLimitError),
        (500, anthropic.InternalServerError, openai.InternalServerError),
        (529, anthropic.InternalServerError, openai.InternalServerError),
    ],
)
def test_refusals__as_the_sdks_read_them(
    model: ScriptedModel,
    of_openai: openai.OpenAI,
    of_anthropic: anthropic.Anthropic,
    *,
    status: int,
    of_theirs: type[anthropic.APIStatusError],
    of_ours: type[openai.APIStatusError],
) -> None:
    text = script({"status": status})
    with pytest.raises(of_theirs) as refused:
        of_anthropic.messages.create(**request_of("/v1/messages", text))
    assert refused.value.status_code == status
    body: Any = refused.value.body
    assert body["type"] == "error"
    assert refused.value.request_id == body["request_id"]
    for create, path in (
        (of_openai.responses.create, "/v1/responses"),
        (of_openai.chat.completions.create, "/v1/chat/completions"),
    ):
        asked: Any = {**request_of(path, text), "stream": True}
        with pytest.raises(of_ours) as answered:
            create(**asked)
        assert answered.value.status_code == status
        assert f"scripted {status}" in answered.value.message
    entries = [(e["status"], e["complete"], e["input_tokens"]) for e in model.ledger()[-3:]]
    assert entries == [(status, False, 0)] * 3
    assert [line["ended"] for line in model.log()[-3:]] == ["refused"] * 3
