"""Asks the senders' libraries, and writes what they say into tests/sources/vectors: `make oracles`.

It needs Node and the libraries of package-lock.json and requirements-paypal.txt. The tests need neither: they read what
is written here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.oracles import events, odd, questions
from tests.oracles.questions import SECRET, URL, Topic

HERE = Path(__file__).parent
VECTORS = HERE.parent / "sources" / "vectors"
#: registry → what runs its libraries
JUDGES = {
    "npm": ["node", "judge.mjs"],
    "pypi": [str(HERE / ".venv" / "bin" / "python"), "judge_paypal.py"],
}


def ask(registry: str, topics: list[Topic]) -> list[dict[str, Any]]:
    """The topics with a verdict on each question, and the headers that libraries made."""
    asked = [
        {
            "library": topic.library,
            "preset": topic.preset,
            "secret": topic.secret,
            "verify": dict(topic.verify),
            "pages": dict(topic.pages),
            "questions": [question.as_json() for question in topic.questions],
        }
        for topic in topics
    ]
    done = subprocess.run(
        JUDGES[registry], cwd=HERE, input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    answered: list[dict[str, Any]] = json.loads(done.stdout)
    return answered


def written(topics: list[dict[str, Any]]) -> dict[str, Any]:
    """The vectors of one library."""
    return {
        "library": topics[0]["library"],
        "version": topics[0]["version"],
        "url": URL,
        "topics": [
            {
                "preset": topic["preset"],
                "secret": topic["secret"],
                "verify": topic["verify"],
                "pages": topic["pages"],
                "vectors": [_vector(question, topic) for question in topic["questions"]],
            }
            for topic in topics
        ],
    }


def _vector(question: dict[str, Any], topic: dict[str, Any]) -> dict[str, Any]:
    if topic["preset"] == "cloudevents" and question["made_by"] == "library":
        question["headers"]["authorization"] = f"Bearer {SECRET}"
    return question


def main() -> None:
    VECTORS.mkdir(exist_ok=True)
    topics = [*questions.topics(), *odd.topics(), events.topic()]
    for registry in JUDGES:
        answered = ask(registry, [topic for topic in topics if topic.library.startswith(registry)])
        answered.sort(key=lambda topic: topic["library"])
        for library, group in groupby(answered, key=lambda topic: topic["library"]):
            name = library.replace("@", "").replace(":", "-").replace("/", "-")
            text = json.dumps(written(list(group)), indent=1, ensure_ascii=False)
            (VECTORS / f"{name}.json").write_text(text + "\n", "utf-8")
            print(f"{name}: {text.count('accepted')} verdicts", file=sys.stderr)


if __name__ == "__main__":
    main()
