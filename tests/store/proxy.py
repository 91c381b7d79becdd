"""A proxy before PostgreSQL that can lose the answer to a COMMIT."""

from __future__ import annotations

import socket
import threading
from pathlib import Path


class LossyProxy:
    """Passes bytes between a port of this machine and a server's socket."""

    def __init__(self, server: Path) -> None:
        self._server = str(server / ".s.PGSQL.5432")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        #: how many more answers to COMMIT get lost
        self.lose = 0
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answers, args=(client, server), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        while data := _receive(client):
            if b"COMMIT\0" in data and self.lose:
                self.lose -= 1
                self.lost += 1
                client.shutdown(socket.SHUT_RDWR)
                server.sendall(data)
                break
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        while data := _receive(server):
            try:
                client.sendall(data)
            except OSError:
                break
        client.close()


def _receive(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65536)
    except OSError:
        return b""
