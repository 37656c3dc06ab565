"""A host of published files to test with: serves what it is given, in whatever way the test says."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Host:
    """Serves `files` by their paths; the tests change how.

    Attributes:
        send: bytes of one answer, after which it breaks off.
        ranges: whether it heeds a wish for a part.
        status: other than 200: what it answers instead.
        elsewhere: whether it sends whoever asks to another path first.
        hold: clear: an answer stops in the middle until it is set.
        asked: the paths it was asked for, with their ranges.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    send: int = 1 << 30
    ranges: bool = True
    status: int = 200
    elsewhere: bool = False
    hold: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""

    def __post_init__(self) -> None:
        self.hold.set()


@contextlib.contextmanager
def host(files: dict[str, bytes] | None = None) -> Iterator[Host]:
    """One that serves `files` on a port of its own."""
    state = Host(dict(files or {}))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            if state.status != 200:
                self.send_error(state.status)
                return
            if state.elsewhere and not self.path.startswith("/elsewhere"):
                self.send_response(302)
                self.send_header("Location", f"{state.address}/elsewhere{self.path}")
                self.end_headers()
                return
            content = state.files.get(self.path.removeprefix("/elsewhere"))
            if content is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                sent = content[start : start + state.send]
                self.wfile.write(sent[: len(sent) // 2])
                self.wfile.flush()
                state.began.set()
                state.hold.wait(120)
                self.wfile.write(sent[len(sent) // 2 :])

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        state.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
