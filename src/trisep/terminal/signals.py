"""Signals that end the program as Ctrl-C does, so that half-written files are removed."""

import os
import signal
import sys
import threading


def stop_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the program as Ctrl-C does, so that half-written files are removed.

    A signal that is ignored, as under nohup, stays so. Signals that follow the first are ignored.
    """
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    process = os.getpid()

    def stop(number: int, frame: object) -> None:
        """End the program with KeyboardInterrupt, which carries the signal; a process forked from it, as before."""
        if os.getpid() != process:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for name in names:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        raise KeyboardInterrupt(number)

    if threading.current_thread() is threading.main_thread():
        for name in names:
            if signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
                signal.signal(getattr(signal, name), stop)


def interruption_before(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interruption during which an error was raised, or that it is, if there was one."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error


def interrupted(stop: KeyboardInterrupt) -> int:
    """Say on stderr that the program was interrupted, and return its exit code, by the signal that it carries."""
    print("trisep: interrupted", file=sys.stderr)
    return 128 + (stop.args[0] if stop.args else int(signal.SIGINT))
