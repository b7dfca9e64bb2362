"""A way to an ssh server that ends once so many bytes went there: relay.py BYTES HOST PORT."""

import os
import selectors
import socket
import sys

left, host, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
server = socket.create_connection((host, port))
waiting = selectors.DefaultSelector()
waiting.register(0, selectors.EVENT_READ)
waiting.register(server, selectors.EVENT_READ)
while True:
    for key, _ in waiting.select():
        if key.fd == 0:
            data = os.read(0, min(left, 65536))
            server.sendall(data)
            left -= len(data)
            if not data or not left:
                sys.exit()
        else:
            data = server.recv(65536)
            if not data:
                sys.exit()
            os.write(1, data)
