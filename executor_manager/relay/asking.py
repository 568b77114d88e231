"""One request of an agent to a named upstream, and what is added to it outside."""

from collections.abc import Callable

from aiohttp import web

from executor_manager.relay.bodies import Body
from executor_manager.relay.credentials import Credentials
from executor_manager.relay.headers import Added, Lines, to_upstream
from executor_manager.relay.streams import Asked
from executor_manager.relay.targets import ToUpstream

Token = Callable[[], str]
"""The worker's own, as it was pushed last."""


class Asking:
    def __init__(self, request: web.BaseRequest, to: ToUpstream, body: Body, token: Token) -> None:
        self.request = request
        self.to = to
        self.body = body
        self.added: Added | None = None
        """As it was sent last."""
        self._token = token

    @property
    def name(self) -> str:
        return self.to.upstream.name

    @property
    def asked(self) -> Asked:
        return Asked(
            upstream=self.name,
            path=self.to.path,
            body_sha256=self.body.sha256,
            body_bytes=self.body.size,
        )

    async def headers(self, credentials: Credentials) -> Lines:
        """Raises `CredentialMissing`. Made anew for each sending: a token may have been replaced
        while the upstream was waited for.
        """
        if self.to.upstream.as_worker:
            self.added = Added(value=self._token())
        elif (named := self.to.credential) is not None:
            value = await credentials.value(named.name)
            self.added = Added(header=named.header, prefix=named.prefix, value=value)
        lines = to_upstream(self.request.headers, self.added)
        if self.body.length is not None:
            lines.append(("Content-Length", str(self.body.length)))
        return lines
