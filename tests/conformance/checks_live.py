"""What `berth agents check --live` does with a provider's model, here with the scripted one, which
is told beforehand what it will be asked.
"""

from cli.live_check import AGAIN, FILE, Subject, live_check
from tests.agents.acts import Say, Write
from tests.agents.dialects import DIALECTS
from tests.agents.upstreams import DEFAULT, project_of
from tests.conformance.trial import Check, Trial


def word_of(agent: str) -> str:
    return f"w{agent.replace('-', '')}"


def answer_of(agent: str) -> str:
    return f"a{agent.replace('-', '')}"


def scenario() -> list[object]:
    """For each agent the tool that it has; asked again, each looks into its own past."""
    again = {"when": AGAIN, "replies": [{"recall": r"exactly the word (\w+)\."}]}
    return [again, *(_part(name) for name, one in DIALECTS.items() if one.reads_model)]


def _part(agent: str) -> dict[str, object]:
    acts = (Write(path=FILE, content=f"{word_of(agent)}\n"), Say(text=answer_of(agent)))
    replies = [reply for act in acts for reply in DIALECTS[agent].replies(act)]
    return {"when": f"the word {word_of(agent)}", "replies": replies}


async def live(trial: Trial) -> None:
    subject = Subject(
        agent=trial.name,
        model=DEFAULT,
        upstream="a-model",
        project_id=await project_of(trial.bench.api),
    )
    words = {"word": word_of(trial.name), "answer": answer_of(trial.name)}
    found = {one.check: one async for one in live_check(trial.bench.api, subject, **words)}
    assert list(found) == ["answered", "file", "usage", "resumed"], found
    wrong = [f"{one.check}: {one.told}" for one in found.values() if not one.held]
    assert not wrong, "; ".join(wrong)


LIVE = [Check(name="live check", play=live)]
