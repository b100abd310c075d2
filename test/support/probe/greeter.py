"""Tells TCP clients who they are, and keeps talking: a line with their address, then whatever they send comes back. usage: greeter.py PORT"""
import asyncio, sys


async def greet(reader, writer):
    try:
        writer.write((writer.get_extra_info('peername')[0] + '\n').encode())
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
    except OSError:
        pass


async def main():
    servers = [await asyncio.start_server(greet, host, int(sys.argv[1])) for host in ('0.0.0.0', '::')]
    print('ready', flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
