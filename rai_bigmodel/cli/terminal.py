"""How does the program speak? Data to stdout, progress and prose to stderr; the words of a verdict, line by line."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Ruling, Verdict


MARKS = {"pass": "✓", "fail": "✕", "inconclusive": "◐", "waived": "○"}
WORDS = {"pass": "passes", "fail": "fails", "inconclusive": "inconclusive", "waived": "waived"}
COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow", "waived": "cyan"}


def say(message: str, code: int) -> int:
    """One line of prose, and the exit code it explains."""
    who = f"rai, process {number}" if (number := process()) else "rai"
    click.echo(f"{who}: {message}", err=True)
    return code


def process() -> int:
    """Which of the processes that torchrun started this is; the first, 0, speaks for all."""
    rank = os.environ.get("RANK", "")
    return int(rank) if rank.isdecimal() and "WORLD_SIZE" in os.environ else 0


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Inside the block a request to end (SIGTERM, as torchrun sends it) stops like Ctrl-C: nothing is half-written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Progress:
    """One line on a terminal that is written over; nothing anywhere else."""

    def __init__(self, *, quiet: bool) -> None:
        self.on = not quiet and sys.stderr.isatty()
        self.last = ""

    def __call__(self, what: str, done: int, of: int) -> None:
        """Show what is being done, how much of it is done and how much there is."""
        if not self.on:
            return
        if what != self.last and self.last:
            self.clear()
        self.last = what
        if what:
            width = 24
            full = width if of == 0 else round(width * done / of)
            bar = "█" * full + "░" * (width - full)
            click.echo(f"\r\x1b[K{bar} {what} {done}/{of}", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self.on and self.last:
            click.echo("\r\x1b[K", nl=False, err=True)
            self.last = ""


def example(*lines: str) -> dict[str, Any]:
    """The end of a help text: what one would really type."""
    return {"epilog": "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)}


quietly = click.option("--quiet", is_flag=True, help="No progress and no prose.")


def record(dossier: Dossier, folder: str, verdict: Verdict | None = None) -> None:
    """Count the run in the ledger; where that cannot be written, say so: the run stands all the same."""
    from rai_bigmodel import api
    from rai_bigmodel.errors import InputError

    try:
        api.record(dossier, folder, verdict)
    except InputError as error:
        say(f"this run was not counted: {error}", 0)


def print_verdict(verdict: Verdict, *, quiet: bool) -> None:
    """One line a rule, fails first, and the verdict."""
    order = ("fail", "inconclusive", "waived", "pass")
    rulings = sorted(verdict.rulings, key=lambda r: (r.rule.severity == "warn", order.index(r.outcome)))
    for ruling in rulings if not quiet else ():
        click.echo(_line(ruling))
    click.echo(click.style(verdict.headline, bold=True))
    if verdict.attempts and not quiet:
        click.echo(f"This is {verdict.attempts.words}.", err=True)


def _line(ruling: Ruling) -> str:
    from rai_bigmodel.files import visible
    from rai_bigmodel.words import exact, number

    rule = ruling.rule
    limit = rule.limits[0]
    where = ",".join(f"{k}={v}" for k, v in limit.where.items())
    sign = "≤" if limit.at_most is not None else "≥"
    asked = f"{limit.metric}{f'{{{where}}}' if where else ''} {sign} {exact(limit.value)}"
    if len(rule.limits) > 1:
        asked += f" or {len(rule.limits) - 1} more"
    role = "" if rule.role == "primary" else f" of {rule.role}"
    m = ruling.measurement
    seen = ""
    if m is not None and m.value is not None:
        # Which number it is, where the limits before it are of several, or one limit is of several numbers.
        told = [f"{k}={v}" for k, v in m.labels.items() if k in {"feature", "group"} and k not in rule.where]
        told = [m.metric, *told] if len(rule.limits) > 1 else told
        which = f" ({', '.join(told)})" if told else ""
        seen = f" {number(m.value, beside=limit.value)}{which}."
    warn = " (warning)" if rule.severity == "warn" else ""
    word = click.style(f"{MARKS[ruling.outcome]} {WORDS[ruling.outcome]:<12}", fg=COLOURS[ruling.outcome])
    return f"{word} {visible(f'{asked}{role}:{seen} {ruling.words}{warn}')}"
