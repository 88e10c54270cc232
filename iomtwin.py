"""The command line: a thin door to the commands, which import what they need when they are called.

Errors that iomtwin raises on purpose are one line and an exit code: 2 for bad input, 1 for a failed run.
"""

from __future__ import annotations

import atexit
import signal
import sys
from contextlib import suppress

from analysis.interrupts import INTERRUPTED, LINE, leaving

with leaving():  # these imports take long enough to be interrupted
    import typer

    from analysis.terminal import CLOSED, discard_output, say
    from commands import cluster, hardware, simulation, validation
    from sim.errors import IomtwinError, one_line

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
                  help="A twin of a hospital's Internet of Medical Things under post-quantum cryptography.")
OUT_OF_MEMORY = 'memory ran out; take fewer devices, a shorter duration or --trace none'

for _command in (simulation.check, simulation.run, simulation.compare, simulation.report, simulation.profiles):
    app.command()(_command)
app.command('calibrate')(hardware.calibrate_machine)
app.command()(validation.validate)
app.command(add_help_option=False, context_settings={'ignore_unknown_options': True, 'allow_extra_args': True})(
    hardware.worker)
app.add_typer(hardware.hil, name='hil')
app.add_typer(cluster.k3s, name='k3s')


def main() -> None:
    """Run the command line and turn errors into one line and an exit code."""
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # then there is nothing left to interrupt
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it is None if it was closed before we began
            stream.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]  # what a terminal cannot show
    with leaving():
        code = _ended(sys.argv[1:])
    exec('')  # an interrupt that went through another exec, as of a dataclass, would else end Python by the signal
    if code:
        sys.exit(code)


def _ended(arguments: list[str]) -> int:
    """Run a command and return its exit code; whatever went wrong is told."""
    message = ''
    try:
        code = app(arguments or ['--help'], standalone_mode=False) or 0  # of an early exit, its code
        say('')
    except IomtwinError as error:
        message, code = str(error), error.exit_code
    except typer.Exit as early:
        code = early.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED  # typer may make it of an interrupt as well
    except MemoryError:
        message, code = OUT_OF_MEMORY, 1
    except ImportError as error:
        message, code = f'a library cannot be loaded ({error}); free memory, or install iomtwin anew', 1
    except OSError as error:
        discard_output()
        message, code = f'{error.filename or "output"}: {error.strerror or error}; look after the disk and the path', 1
    except SystemExit:  # what click and rich make of a closed pipe
        discard_output()
        code = CLOSED
    except Exception as error:
        message, code = _usage(error), 2
    line = LINE if code == INTERRUPTED else f'iomtwin: {one_line(message)}\n' if message else ''
    if sys.stderr is not None:
        with suppress(OSError):  # whoever listened may have gone
            print(line, end='', file=sys.stderr)
    return code


def _usage(error: Exception) -> str:
    """Return what a usage error of the command line says; raise anything else."""
    if not hasattr(error, 'format_message'):
        raise error
    if not error.format_message():  # of a group of commands without one: its help is told already
        return ''
    return f'{error.format_message()} (iomtwin --help lists the commands)'


if __name__ == '__main__':
    main()
