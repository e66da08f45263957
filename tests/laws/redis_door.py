"""TCP proxies before Redis servers: a door that leads elsewhere, a line that breaks."""

import socket
import threading
from contextlib import closing, suppress


class Proxy:
    """Serves each connection in a thread of its own, on its way `to` where one is made."""

    def __init__(self, to: int | bytes) -> None:
        self.to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client, self.to), daemon=True).start()

    def _serve(self, client: socket.socket, to: int | bytes) -> None:
        raise NotImplementedError


class Door(Proxy):
    """Leads new connections to `to`: a port, or an error that is the answer to every command.

    Connections that were made before go on where they lead, as through a load balancer. An empty
    error is silence: no answer and no reset.
    """

    def __init__(self, to: int | bytes, unknown: bytes = b"") -> None:
        self._unknown = unknown  # a command that the server does not know
        super().__init__(to)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def _serve(self, client: socket.socket, to: int | bytes) -> None:
        if isinstance(to, int):
            self._pass(client, to)
        else:
            self._refuse(client, to)

    def _refuse(self, client: socket.socket, error: bytes) -> None:
        """Answer each command of a request; HELLO and CLIENT SETINFO are let in."""
        with closing(client), suppress(OSError):
            while request := client.recv(1 << 16):
                for command in request.split(b"\r\n*"):
                    if not error:
                        continue
                    opening = any(word in command for word in (b"HELLO", b"SETINFO"))
                    client.sendall(b"+OK\r\n" if opening else b"-" + error + b"\r\n")

    def _pass(self, client: socket.socket, port: int) -> None:
        with closing(client), closing(socket.create_connection(("127.0.0.1", port))) as server:
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            with suppress(OSError):
                while request := client.recv(1 << 16):
                    if self._unknown and self._unknown in request:
                        client.sendall(b"-ERR unknown command '%s'\r\n" % self._unknown)
                    else:
                        server.sendall(request)


class BrokenLine(Proxy):
    """A TCP proxy before a Redis that can be told to cut the line at the next EXEC."""

    def __init__(self, port: int) -> None:
        self.cut = ""  # "request" or "reply": what of the next EXEC is lost
        self.cuts = 0
        super().__init__(port)

    def _serve(self, client: socket.socket, to: int | bytes) -> None:
        with closing(client), closing(socket.create_connection(("127.0.0.1", int(to)))) as server:
            mute = threading.Event()
            back = threading.Thread(target=self._replies, args=(server, client, mute), daemon=True)
            back.start()
            while True:
                try:
                    request = client.recv(1 << 20)
                except OSError:
                    return
                if not request:
                    return
                lost, self.cut = (self.cut, "") if b"EXEC\r\n" in request else ("", self.cut)
                if lost:
                    self.cuts += 1
                if lost == "request":
                    return
                if lost == "reply":
                    mute.set()
                    back.join()  # it may not take the reply from under us
                    server.settimeout(10.0)
                    server.sendall(request)
                    server.recv(1)  # until it is done there
                    return
                server.sendall(request)

    def _replies(self, server: socket.socket, client: socket.socket, mute: threading.Event) -> None:
        with suppress(OSError):
            while not mute.is_set():
                server.settimeout(0.02)
                try:
                    reply = server.recv(1 << 20)
                except TimeoutError:
                    continue
                if not reply:
                    return
                if not mute.is_set():
                    client.sendall(reply)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
