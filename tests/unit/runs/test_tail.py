from __future__ import annotations

from pathlib import Path

from acestep_tui.runs.tail import EventTail
from engine.contract import event_lines, events


def line(seq: int, **fields: object) -> str:
    return event_lines.encode(events.Heartbeat(phase="tråin"), seq=seq, t=1.0 + seq)


def test_file_that_does_not_exist_yet_is_no_news(tmp_path: Path) -> None:
    tail = EventTail(tmp_path / "events.jsonl")
    assert tail.poll() == []
    (tmp_path / "events.jsonl").write_text(line(0), encoding="utf-8")
    assert [entry.record.seq for entry in tail.poll()] == [0]


def test_torn_last_line_means_not_yet_wherever_it_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    whole = line(0).encode()
    torn = line(1).encode()
    for cut in range(len(torn)):  # also in the middle of a letter of two bytes
        path.write_bytes(whole + torn[:cut])
        tail = EventTail(path)
        assert [entry.record.seq for entry in tail.poll()] == [0]
        assert tail.poll() == []
        path.write_bytes(whole + torn)
        (entry,) = tail.poll()
        assert entry.record.seq == 1
        assert entry.raw == torn.decode().rstrip("\n")


def test_torn_end_cut_off_by_the_next_worker_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(line(0) + line(1)[:20], encoding="utf-8")
    tail = EventTail(path)
    assert len(tail.poll()) == 1
    path.write_text(line(0) + line(1) + line(2), encoding="utf-8")
    assert [entry.record.seq for entry in tail.poll()] == [1, 2]


def test_unreadable_line_in_the_middle_is_counted_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(line(0) + '{"v":1,"seq":1\n' + line(2), encoding="utf-8")
    tail = EventTail(path)
    assert [entry.record.seq for entry in tail.poll()] == [0, 2]
    assert tail.num_unreadable == 1


def test_unicode_line_breaks_inside_a_text_do_not_split_the_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    warning = events.RunWarning(code="x", message="one\u2028two\x85three")
    path.write_text(event_lines.encode(warning, seq=0, t=1.0), encoding="utf-8")
    (entry,) = EventTail(path).poll()
    assert entry.record.event == warning


def test_long_history_is_read_across_slices(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    text = "x" * 400_000
    lines = (event_lines.encode(events.RunWarning(code="x", message=text), seq=seq, t=1.0) for seq in range(25))
    path.write_text("".join(lines), encoding="utf-8")
    tail = EventTail(path)
    assert [entry.record.seq for entry in tail.poll()] == list(range(25))
    assert tail.offset == path.stat().st_size
