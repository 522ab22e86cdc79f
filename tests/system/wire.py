"""A cable that is long and bad, out of two network interfaces:

    wire.py DELAY LOSS ONE OTHER   copies what comes in at one to the other, DELAY seconds later, but for the part LOSS
                                   of the frames; prints "ready", and runs until it is killed
    wire.py plain INTERFACE ...    has frames leave these interfaces as a cable carries them: in pieces, with checksums.
                                   For those at the far ends of the two
"""

import array
import collections
import fcntl
import random
import select
import socket
import struct
import sys
import time

SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
ETH_P_ALL = 3


def make_plain(interface):
    value = array.array("I", [ETHTOOL_STXCSUM, 0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP", interface.encode(), value.buffer_info()[0]))


def opened(interface):
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    end.bind((interface, 0))
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    end.setblocking(False)
    return end


def carry(delay, loss, ends):
    draw = random.Random(1)
    under_way = collections.deque()  # when due, where, what
    while True:
        wait = max(0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select(ends, [], [], wait)[0]:
            frame, address = end.recvfrom(1 << 16)
            if address[2] != socket.PACKET_OUTGOING and draw.random() >= loss:
                under_way.append((time.monotonic() + delay, ends[1 - ends.index(end)], frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, end, frame = under_way.popleft()
            try:
                end.send(frame)
            except OSError:
                pass  # an interface that is down or full loses it, as cables do


if sys.argv[1] == "plain":
    for name in sys.argv[2:]:
        make_plain(name)
else:
    both = [opened(name) for name in sys.argv[3:]]
    print("ready", flush=True)
    carry(float(sys.argv[1]), float(sys.argv[2]), both)
