"""What is said about files: everything the scan finds, and nothing twice afterwards."""

from engine.dataset.report import Problem
from engine.train.prepare import Reporter


class Heard:
    def __init__(self) -> None:
        self.files: list[str] = []

    def emit(self, event) -> None:
        self.files.append(event.file)


def test_two_folders_with_a_file_of_one_name_are_both_told_about():
    heard = Heard()
    reporter = Reporter(heard)
    problem = Problem("001.wav", "error", "no_caption", "left out: no caption")
    reporter.scanned(problem)
    reporter.scanned(problem)
    assert heard.files == ["001.wav", "001.wav"]


def test_what_the_scan_said_is_not_said_again_while_preparing():
    heard = Heard()
    reporter = Reporter(heard)
    problem = Problem("001.wav", "error", "too_long", "left out: 300 s")
    reporter.scanned(problem)
    reporter.problem(problem)
    reporter.problem(Problem("001.wav", "warning", "cache_damaged", "encoded again"))
    reporter.problem(Problem("001.wav", "warning", "cache_damaged", "encoded again"))
    assert heard.files == ["001.wav", "001.wav"]
