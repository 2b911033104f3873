"""What both sides probe: one process that answers HTTP, HTTPS and a greeting over TCP. usage: target.py HTTP HTTPS TCP CERT KEY (ports; PEM files)"""
import asyncio
import ssl
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


async def http(reader, writer):
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    writer.close()


async def greeting(reader, writer):
    try:
        writer.write(b"220 ready\r\n")
        await reader.read(64)
    except OSError:
        pass
    writer.close()


async def main(http_port, https_port, tcp_port, cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    options = {"host": "127.0.0.1", "backlog": 512}
    servers = [await asyncio.start_server(http, port=int(http_port), **options),
               await asyncio.start_server(http, port=int(https_port), ssl=context, **options),
               await asyncio.start_server(greeting, port=int(tcp_port), **options)]
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main(*sys.argv[1:]))
