"""Figures worth reading after a run: any test may `record_property("figure", "one line")`."""


def pytest_terminal_summary(terminalreporter):
    reports = terminalreporter.getreports("passed")
    found = [value for each in reports for key, value in each.user_properties if key == "figure"]
    if found:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(found))
