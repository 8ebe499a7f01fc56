"""What a terminal sees, and what a file sees instead."""

import io
import sys

import pytest

from cosim import console


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Called in a test, it gives a stream in the place of stdout or stderr."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")

    def terminal(name):
        monkeypatch.setattr(sys, name, Terminal())
        return getattr(sys, name)

    return terminal


def test_a_table_in_a_file_is_aligned_text(capsys):
    console.table(("name", "unit"), [("width", "m"), ("x", "")])
    assert capsys.readouterr().out == "name   unit\nwidth  m\nx\n"


def test_a_table_without_header_in_a_file_has_no_empty_line(capsys):
    console.table(("", ""), [("a", "b")])
    assert capsys.readouterr().out == "a  b\n"


def test_a_table_on_a_terminal_is_drawn_and_its_text_is_no_markup(terminal):
    stdout = terminal("stdout")
    console.table(("name", "unit"), [("[red]width", "m")])
    drawn = stdout.getvalue()
    assert "┃" in drawn
    assert "[red]width" in drawn


def test_a_terminal_gets_a_bar_with_simulated_and_wall_time(terminal):
    stderr = terminal("stderr")
    with console.progress(4, quiet=False) as show:
        show(3, 4, 12.34, 5.0)
    bar = stderr.getvalue()
    assert "3/4" in bar
    assert "simulated 12.3 s" in bar
    assert "wall" in bar


def test_a_file_gets_lines_but_not_too_many(capsys):
    with console.progress(100, quiet=False) as show:
        for done in range(1, 101):
            show(done, 100, 10.0 * done, 0.5 * done)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "round 1/100  simulated 10.0 s  wall 0.5 s"
    assert lines[1] == "round 5/100  simulated 50.0 s  wall 2.5 s"
    assert lines[-1] == "round 100/100  simulated 1000.0 s  wall 50.0 s"
    assert len(lines) == 26


def test_quiet_is_no_progress():
    with console.progress(4, quiet=True) as show:
        assert show is None
