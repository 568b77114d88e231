"""What an attempt says to the agent: the user's message, or how to go on."""

from contracts.commands import Answer, RunSpec
from contracts.events import ResumeLabel
from executor.services.agent_data import AgentHistory

CONTINUE = (
    "Your work on the last message was interrupted before it was finished. Go on where you stopped."
    " Look at what is already done before doing anything again."
)


def prompt_of(spec: RunSpec, history: AgentHistory, label: ResumeLabel) -> str:
    """`history` is what was saved before this attempt."""
    known = history.prompted_run == spec.run_id and label is ResumeLabel.NATIVE
    said = CONTINUE if known else spec.prompt
    return "\n\n".join([said, *_answers(spec.answers)])


def _answers(answers: list[Answer]) -> list[str]:
    if not answers:
        return []
    lines = [f"- {_question(answer)}: {_decision(answer)}" for answer in answers]
    return ["Meanwhile a person answered what had been asked:\n" + "\n".join(lines)]


def _question(answer: Answer) -> str:
    return f"{answer.title} ({answer.tool})" if answer.tool else answer.title


def _decision(answer: Answer) -> str:
    words = {
        "allow_once": "allowed once",
        "allow_always": "allowed",
        "reject_once": "refused",
        "reject_always": "refused",
    }
    decided = words.get(answer.option_kind or "", "")
    return ": ".join(part for part in (decided, answer.text or "") if part) or "answered"
