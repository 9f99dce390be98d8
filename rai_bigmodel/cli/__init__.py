"""``rai``: what can one do from the shell? Data to stdout, progress and prose to stderr, one exit code each."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections import UserDict
from typing import TYPE_CHECKING, NoReturn

import click

from rai_bigmodel.cli.terminal import example, say
from rai_bigmodel.errors import RaiError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OUR_BUG = 4


def main(args: list[str] | None = None) -> NoReturn:
    """Run a command and exit with its code."""
    sys.exit(_run(args, own=args is None))


def _run(args: list[str] | None, *, own: bool = False) -> int:
    """A command and its exit code; `own` where the process is there for it alone, which commands read as ``obj``."""
    try:
        code = cli.main(args=args, prog_name="rai", standalone_mode=False, obj=own)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        hint = f" (try: {error.ctx.command_path} --help)" if error.ctx else ""
        return say(f"{error.format_message()}{hint}", 2)
    except click.ClickException as error:
        return say(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        return say("stopped", 130)
    except RaiError as error:
        return say(" ".join(str(error).split()), error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing is left to say, and nothing may be flushed at exit.
        sys.stdout = None
        return 0
    except OSError as error:
        if error.errno not in _NO_ROOM:
            return _our_bug()
        # What was to be printed is not; whoever reads the exit code must not take it for a verdict.
        sys.stdout = None
        return say(f"cannot be written ({error.strerror})", 2)
    except Exception:  # noqa: BLE001 - the one place where our own bugs come out
        return _our_bug()
    return code if isinstance(code, int) else 0


_NO_ROOM = {errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


def _our_bug() -> int:
    import traceback

    traceback.print_exc()
    return say(
        "this is a bug of rai itself, not of your input. Please report the lines above, the command and "
        "the output of 'rai --version' where you got the package from.",
        OUR_BUG,
    )


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's own signature
    if not wanted or context.resilient_parsing:
        return
    from importlib import metadata

    click.echo(f"rai_bigmodel {metadata.version('rai_bigmodel')}")
    context.exit()


class _Commands(UserDict[str, click.Command]):
    """Name → command; its room is imported when the command is first asked for, so that the gate waits for no other."""

    def __init__(self, rooms: dict[str, Sequence[str]]) -> None:
        super().__init__()
        self.rooms = {name: room for room, names in rooms.items() for name in names}

    def __contains__(self, name: object) -> bool:
        return name in self.rooms

    def __iter__(self) -> Iterator[str]:
        return iter(self.rooms)

    def __len__(self) -> int:
        return len(self.rooms)

    def __missing__(self, name: str) -> click.Command:
        room = importlib.import_module(f"rai_bigmodel.cli.{self.rooms[name]}")
        command: click.Command = getattr(room, name)
        self.data[name] = command
        return command


_COMMANDS = _Commands(
    {
        "making": ("demo", "train", "export", "mitigate"),
        "auditing": ("audit", "scan", "audits"),
        "judging": ("gate", "report", "index", "diff", "policy", "controls"),
        "proving": ("sign", "verify"),
    }
)


@click.group(
    commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    **example("rai demo", "rai gate reports/demo --policy examples/policies/lending.yaml"),
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
def cli() -> None:
    """Train models, put them before audits, hold the evidence against a policy, write the page.

    Exit codes: 0 done, or the policy is met; 1 not met; 2 the input or the call is wrong; 3 inconclusive, or
    an audit broke; 4 a bug of ours; 130 Ctrl-C.
    """
    if os.environ.get("NO_COLOR"):
        click.get_current_context().color = False
