"""Figures worth reading after a run: any test may `record_property("figure", "one line")`."""


def pytest_terminal_summary(terminalreporter):
    figures = [
        value
        for report in terminalreporter.getreports("passed")
        for key, value in report.user_properties
        if key == "figure"
    ]
    if figures:
        terminalreporter.section("figures")
        for figure in figures:
            terminalreporter.write_line(figure)
