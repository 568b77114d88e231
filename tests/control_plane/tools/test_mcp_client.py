"""The official client against the real app."""

from typing import Literal

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from tests.control_plane.tools.conftest import TOKEN, Agent


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_client__finds_and_calls_the_tools(
    agent: Agent, mode: Literal["auto", "legacy"]
) -> None:
    """`auto` asks in the newest version's way first, and finds the handshake."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"{agent.plane.url}{agent.path}"
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        assert client.server_info is not None
        assert client.server_info.name == "berth"
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == [
            "finish_task",
            "block_task",
            "request_input",
            "ask_user",
        ]
        said = await client.call_tool("request_input", {"question": "Which?", "options": ["a"]})
        assert said.is_error is False
        (part,) = said.content
        assert isinstance(part, TextContent)
        assert "Asked." in part.text
        with pytest.raises(MCPError) as caught:
            await client.call_tool("finish_task", {})
        assert "summary" in str(caught.value)
    assert await agent.plane.connection.fetchval("SELECT tool FROM tool_calls") == "request_input"
