#!/usr/bin/python3
"""tools/bench/ws_server.py -- python3-websockets as a rival: /ws echoes, /all sends each message to everybody there.

ws_server.py PORT
"""

import asyncio
import http
import sys

import websockets

everybody = set()


async def serve(websocket):
    """One connection."""
    if websocket.path != "/all":
        async for message in websocket:
            await websocket.send(message)
        return
    everybody.add(websocket)
    try:
        async for message in websocket:
            websockets.broadcast(everybody, message)
    finally:
        everybody.discard(websocket)


async def answer(path, _headers):
    """What is asked without an upgrade."""
    return (http.HTTPStatus.OK, [], b"Hello, World!") if path == "/" else None


async def main():
    """Serves until it is ended."""
    async with websockets.serve(serve, "127.0.0.1", int(sys.argv[1]), compression=None, ping_interval=None,
                                process_request=answer, backlog=4096):
        await asyncio.Future()


try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
