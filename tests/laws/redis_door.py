"""A door before Redis servers: a TCP proxy whose way can be changed while connections live on."""

import socket
import threading
from contextlib import closing, suppress


class Door:
    """Leads new connections to `to`: a port, or an error that is the answer to every command.

    Connections that were made before go on where they lead, as through a load balancer. An empty
    error is silence: no answer and no reset.
    """

    def __init__(self, to: int | bytes, unknown: bytes = b"") -> None:
        self.to = to
        self._unknown = unknown  # a command that the server does not know
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                serve = self._pass if isinstance(self.to, int) else self._refuse
                threading.Thread(target=serve, args=(client, self.to), daemon=True).start()

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


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
