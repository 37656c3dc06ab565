"""`python -m indexer.models.engines.child`: the process of one model. `host` starts it and tells it what to load.

Its arguments are the parent's process id, the socket that closes when the parent has ended, and for each lane its
socket and, where there is any, the memory that both share.
"""

import ctypes
import mmap
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

from indexer import allocator
from indexer.models.engines import child_log, wire
from indexer.models.engines.messages import Facts, Opened, Setup, as_answer

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the parent ends, or closes us."""
    child_log.send()
    allocator.return_large()
    parent, life, *lanes = sys.argv[1:]
    _end_with(int(parent))
    # Ctrl-C is sent to us, too, and so is what systemd sends to all processes of a service. The parent handles both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_leave_at_the_end_of, args=(socket.socket(fileno=int(life)),), daemon=True).start()
    (first, shared), *others = map(_lane, lanes)
    setup: Setup = wire.receive(first, shared)
    os.nice(setup.nice)
    try:
        opened = setup.open(setup.device)
    except Exception as error:
        wire.send(first, as_answer(error))
        return
    allocator.return_freed()
    # With up to 32 MB OCR is 3 % faster, and takes 140 MB more. With up to 6 MB it is 5 % slower, and takes 30 MB less.
    allocator.keep_freed(up_to=8 << 20, one_thread=False)
    wire.send(first, _facts(opened))
    for lane in others:
        threading.Thread(target=_serve, args=(opened.model, *lane), daemon=True).start()
    _serve(opened.model, first, shared)
    threading.Event().wait()  # the other threads end this process when the parent ends


def _lane(numbers: str) -> tuple[socket.socket, mmap.mmap | None]:
    end, *memory = map(int, numbers.split(":"))
    return socket.socket(fileno=end), wire.attach(memory[0]) if memory else None


def _end_with(parent: int) -> None:
    """Ask the kernel to kill us when the parent's thread ends, even while a call blocks all of Python."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(0)


def _leave_at_the_end_of(life: socket.socket) -> None:
    with suppress(OSError):
        life.recv(1)
    os._exit(0)


def _serve(model: Any, lane: socket.socket, shared: mmap.mmap | None) -> None:
    with suppress(EOFError, OSError):
        while True:
            try:
                asked = wire.receive(lane, shared)
            except (EOFError, OSError):
                raise
            except Exception as error:  # there is no memory for it
                _reply(lane, as_answer(error))
            else:
                _reply(lane, _answer(model, asked))
                del asked  # not held while nothing is asked


def _answer(model: Any, asked: tuple[str, Any]) -> Any:
    method, argument = asked
    try:
        return getattr(model, method)(argument)
    except Exception as error:
        return as_answer(error)


def _reply(lane: socket.socket, answer: object) -> None:
    try:
        wire.send(lane, answer)
    except OSError:
        raise
    except Exception as error:  # it cannot be sent, as for want of memory
        wire.send(lane, as_answer(error))


def _facts(opened: Opened) -> Facts:
    model = opened.model
    return Facts(
        name=model.name,
        device=opened.device,
        note=opened.note,
        dimensions=getattr(model, "dimensions", None),
        preparation=getattr(model, "preparation", None),
        by_language=getattr(model, "by_language", False),
        alphabet=getattr(model, "alphabet", None),
    )


if __name__ == "__main__":
    main()
