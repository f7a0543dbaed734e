"""`stop`, `pause`, `resume`, `save`, `sample`: one command file each, taken by the worker between steps."""

from __future__ import annotations

import time

from acestep_tui.headless import streams
from acestep_tui.runs import control, registry
from acestep_tui.runs.folder import go_on_hint
from acestep_tui.runs.liveness import Life, judge
from acestep_tui.runs.load import load_state
from acestep_tui.runs.tail import EventTail
from engine.contract.errors import ConfigError, ExitCode
from engine.contract.events import CommandDone
from engine.contract.run_dir import RunDir

# The word typed, the command sent, what is said once the worker has it.
KINDS = {"stop": "stop_now", "pause": "pause", "resume": "resume", "save": "save", "sample": "sample"}
_SAID = {
    "stop": "stops after the step under way and saves",
    "pause": "pauses after the step under way",
    "resume": "goes on",
    "save": "saves after the step under way",
    "sample": "makes a test clip after the step under way",
}
# A step of a large model takes seconds; the command is taken then, also if nobody waits for the answer.
_ANSWER_WAIT_S = 3.0


def command(word: str, wanted: str | None) -> int:
    """Send one command to a run and say what came of it.

    Raises:
        ConfigError: There is no such run, or no worker that could listen.
        DiskError: The run folder cannot be written.
    """
    run = registry.find_run(wanted)
    state, tail = load_state(run.events_jsonl)
    verdict = judge(run, state)
    if not verdict.is_running:
        if verdict.life is Life.UNHEARD:
            reason = f"Whether {run.name} still trains cannot be seen from here ({verdict.note})"
            where = f" on {verdict.host}" if verdict.host else ""
            raise ConfigError(reason, hint=f"See{where} that its process lives, and ask there.")
        raise ConfigError(f"{run.name} is not running: {_why(verdict.life)}", hint=_how_to_go_on(run, word))
    command_id = control.send(run, KINDS[word])
    answer = _wait_for_answer(tail, command_id)
    if answer is not None and not answer.ok:
        streams.say(f"✗ {run.name}: {answer.message or 'refused'}")
        return ExitCode.USAGE
    said = answer.message if answer is not None and answer.message else _SAID[word]
    streams.put(f"{run.name}: {said}")
    return ExitCode.DONE


def _wait_for_answer(tail: EventTail, command_id: str) -> CommandDone | None:
    deadline = time.monotonic() + _ANSWER_WAIT_S
    while time.monotonic() < deadline:
        for line in tail.poll():
            event = line.record.event
            if isinstance(event, CommandDone) and event.id == command_id:
                return event
        time.sleep(0.1)
    return None


def _why(life: Life) -> str:
    return {Life.NEW: "it was never started", Life.CRASHED: "its worker is gone"}.get(life, f"it has {life.value}")


def _how_to_go_on(run: RunDir, word: str) -> str:
    if word != "resume":
        return "`acestep-tui runs` shows which runs are alive."
    return go_on_hint(run)
