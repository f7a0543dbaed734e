from __future__ import annotations

from acestep_tui.runs.log import RunLog


def test_newest_first_and_only_what_matches() -> None:
    log = RunLog()
    log.add(1.0, "✓", "saved step 250", "good")
    log.chat(2.0, " ", "step 260")
    log.add(3.0, "▲", "2 songs have no lyrics", "warning")
    log.add(4.0, "✗", "the sample could not be made", "error")
    assert [entry.t for entry in log.newest(3)] == [4.0, 3.0, 2.0]
    assert [entry.t for entry in log.newest(9, warnings_only=True)] == [4.0, 3.0]
    assert [entry.t for entry in log.newest(9, containing="STEP")] == [2.0, 1.0]
    assert [entry.t for entry in log.oldest_first()] == [1.0, 2.0, 3.0, 4.0]
    assert log.num_warnings == 2
    assert log.newest(0) == []


def test_steps_push_out_no_facts_and_memory_is_bounded() -> None:
    log = RunLog()
    log.add(0.0, "✓", "saved step 1", "good")
    for number in range(20_000):
        log.chat(float(number), " ", f"step {number}")
    assert len(log) <= 2000
    assert log.newest(9, containing="saved")[0].text == "saved step 1"
    for number in range(20_000):
        log.add(float(number), "▲", "again", "warning")
    assert len(log) <= 2000


def test_what_is_under_way_goes_when_it_is_done() -> None:
    log = RunLog()
    log.begin(1.0, "saving step 250 …")
    before = log.version
    assert [entry.text for entry in log.newest(1)] == ["saving step 250 …"]
    log.end()
    assert log.newest(1) == []
    assert log.version != before
    log.end()
    log.begin(2.0, "saving step 500 …")
    log.begin(3.0, "test clip of step 500 …")
    assert [entry.text for entry in log.newest(9)] == ["test clip of step 500 …"]


def steps_with_a_line(step_s: float, num_steps: int) -> list[int]:
    log = RunLog()
    return [step for step in range(1, num_steps + 1) if log.wants_step(step * step_s, step)]


def test_every_tenth_step_at_most_one_in_three_seconds_and_one_in_thirty_at_least() -> None:
    assert steps_with_a_line(1.48, 40) == [1, 10, 20, 30, 40]
    fast = steps_with_a_line(0.01, 2000)
    assert len(fast) <= 7
    assert all(step % 10 == 0 for step in fast[1:])
    assert steps_with_a_line(60.0, 4) == [1, 2, 3, 4]


def test_clock_that_goes_back_does_not_silence_the_log() -> None:
    log = RunLog()
    assert log.wants_step(1000.0, 10)
    assert log.wants_step(10.0, 13)
    log.forget_pace()
    assert log.wants_step(10.5, 17)
