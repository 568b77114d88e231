"""Sets the model and the mode of an agent's session, each time it is opened: some agents forget."""

from contracts.reasons import Reason
from executor.agents.connection import AgentConnection
from executor.agents.errors import AgentFailed
from executor.agents.profile import AgentOptions, Profile
from executor.agents.updates import ConfigChoice, ConfigOption, SessionOpened

SET_DEADLINE = 30.0


async def apply_settings(
    connection: AgentConnection,
    profile: Profile,
    options: AgentOptions,
    session_id: str,
    opened: SessionOpened,
) -> None:
    """Raises `AgentFailed` for a model or mode that the agent does not offer: none is skipped."""
    offered = opened.config_options or []
    wanted: list[tuple[ConfigOption, str]] = []
    if options.model is not None:
        wanted += _model(offered, profile, options.model)
    if options.mode or profile.modes:
        mode = options.mode or profile.default_mode
        wanted += _mode(offered, profile.modes.get(mode, mode))
    for option, value in wanted:
        params = {"sessionId": session_id, "configId": option.id, "value": value}
        await connection.request("session/set_config_option", params, within=SET_DEADLINE)


def _model(
    offered: list[ConfigOption], profile: Profile, model: str
) -> list[tuple[ConfigOption, str]]:
    option = _find(offered, "model")
    own_name = profile.model.name.replace("{model}", model)
    if option is not None and own_name in _values(option):
        return [(option, own_name)]
    if profile.model.free_names:
        return []
    names = "" if option is None else ", ".join(_values(option))
    raise AgentFailed(Reason.MODEL_NOT_FOUND, f"the agent has no model {model}; it has: {names}")


def _mode(offered: list[ConfigOption], mode: str) -> list[tuple[ConfigOption, str]]:
    option = _find(offered, "mode")
    if option is not None and mode in _values(option):
        return [(option, mode)]
    names = "" if option is None else ", ".join(_values(option))
    raise AgentFailed(Reason.CAPABILITY_MISSING, f"the agent has no mode {mode}; it has: {names}")


def _find(offered: list[ConfigOption], category: str) -> ConfigOption | None:
    return next((o for o in offered if category in {o.category, o.id}), None)


def _values(option: ConfigOption) -> list[str]:
    """Choices may stand in groups."""
    values: list[str] = []
    for choice in option.options:
        values += _flatten(choice)
    return values


def _flatten(choice: ConfigChoice) -> list[str]:
    return [inner.value for inner in choice.options] or [choice.value]
