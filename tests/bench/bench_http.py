"""CPU of one call through the door beside a bare `requests.Session.post`, against a local server.

Run: `python -m tests.bench.bench_http [calls]`. Prints CPU µs of this process per call (the server is another process).
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import sys
import time
from collections.abc import Callable

import requests

from router.http import Door
from router.model import Call

BODY = {"type": "customer", "customer_id": "u_1", "attributes": {f"trait_{n}": "x" * 20 for n in range(16)}}
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"status":"success"}'


def serve(listener: socket.socket) -> None:
    while True:
        peer, _ = listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        while chunk := peer.recv(65536):
            data += chunk
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                continue
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            if len(rest) >= length:
                data = rest[length:]
                peer.sendall(ANSWER)


def measure(call: Callable[[], object], calls: int) -> float:
    """CPU µs per call, the best of three runs."""
    call()
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for _ in range(calls):
            call()
        best = min(best, time.process_time() - start)
    return best / calls * 1e6


def main(calls: int) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/customer"
    listener.close()
    door = Door()
    out = Call("POST", url, BODY, auth={"Authorization": "Basic eDp5"})
    ours = measure(lambda: door.send(out, session="bench", timeout_s=20), calls)
    door.close()
    with requests.Session() as session:
        bare = measure(lambda: session.post(url, json=BODY, headers={"Authorization": "Basic eDp5"}).content, calls)
    with requests.Session() as session:
        session.trust_env = False
        calm = measure(lambda: session.post(url, json=BODY, headers={"Authorization": "Basic eDp5"}).content, calls)
    server.terminate()
    server.join()
    result = {"door_us": round(ours), "session_post_us": round(bare), "session_post_no_environment_us": round(calm)}
    print(json.dumps({"calls": calls, **result}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
