"""A plugin: what a test found worth knowing, though no failure, is told in pytest's summary.

A test says it with `record_property("notice", "...")`, which also reaches the summary from another process.
"""

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write one line for each notice."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    properties = [pair for report in reports for pair in getattr(report, "user_properties", [])]
    notices = dict.fromkeys(str(value) for name, value in properties if name == "notice")
    if notices:
        terminalreporter.section("worth knowing")
        for notice in notices:
            terminalreporter.line(notice)
