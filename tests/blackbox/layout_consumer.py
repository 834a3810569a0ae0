#!/usr/bin/python3
"""tests/blackbox/layout_consumer.py <control socket> [hold] -- a consumer written from shm/LAYOUT.md alone.

Answers any request with 200 `Hello, World!`; asked to hold, keeps it in its hands instead. It uses struct, mmap and
socket, and ctypes for one thing: Python cannot change a word of shared memory atomically, and without compare-exchange
two readers could take one message, or a kill lose one. So words are loaded and changed by libatomic, the compiler's
names for single instructions (struct would load a word byte by byte): all of 8 bytes, a field of 4 being half of one,
all sequentially consistent, more than LAYOUT.md asks for. What a sound segment cannot hold ends us: that harms nobody.
"""
import contextlib, ctypes, mmap, os, select, socket, struct, sys, time
MAGIC, VERSION = 0x0031454349554C53, 5
HELLO, WELCOME, MAPPED, ATTACHED, WANT_ARENA, ARENA = 1, 2, 3, 4, 5, 6
PACKET, PAYLOAD = struct.Struct("<IIQIIIIQQ"), struct.Struct("<QIIQQHHIIIIIQ")
LIVE, OWNED, QUEUED, WITHDRAWN, LINKED, REPLY_QUEUE, FREE_QUEUE = 2, 1, 2, 3, 4, 3, 4
ANSWER = b"\x82\xabstatus_code\xcc\xc8\xa7content\xadHello, World!"
CLASS_BYTES, LOW, ALL = (512, 1024, 1536, 2048, 4096, 73728, 1 << 18, 1 << 20), (1 << 32) - 1, (1 << 64) - 1

atomic, word, at, order, SEQ_CST = ctypes.CDLL("libatomic.so.1"), ctypes.c_uint64, ctypes.c_void_p, ctypes.c_int, 5
POINTER, CFUNCTYPE = ctypes.POINTER, ctypes.CFUNCTYPE
LOAD = CFUNCTYPE(word, at, order)(("__atomic_load_8", atomic))
STORE = CFUNCTYPE(None, at, word, order)(("__atomic_store_8", atomic))
SWAP = CFUNCTYPE(ctypes.c_bool, at, POINTER(word), word, order, order)(("__atomic_compare_exchange_8", atomic))

def load(offset): return LOAD(base + offset, SEQ_CST)
def store(offset, value): STORE(base + offset, value, SEQ_CST)
def swap(offset, seen, value): return SWAP(base + offset, ctypes.byref(word(seen)), value, SEQ_CST, SEQ_CST)
def say(what, row=0, its=0): control.send(PACKET.pack(what, VERSION, MAGIC, row, its, 0, 0, 0, 0))

def change(offset, to):
    while not swap(offset, seen := load(offset), to(seen)): pass
def hear(what):
    packet, fds, _, _ = socket.recv_fds(control, PACKET.size, 4)
    fields = PACKET.unpack(packet) if packet else sys.exit("the gateway hung up")
    return (fields, fds) if fields[0] == what else sys.exit(f"refused, reason {fields[5]}")

control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
control.connect(sys.argv[1])
say(HELLO)
(_, _, _, me, _, _, _, control_bytes, arena_bytes), fds = hear(WELCOME)
memory, own = mmap.mmap(fds[0], control_bytes), mmap.mmap(fds[1], arena_bytes)
bell, ringer = (socket.socket(fileno=fd) for fd in fds[2:])
base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
say(MAPPED)
hear(ATTACHED)
(instance, rows, worker_rows, connections, channels, channel_cells, inbox_cells, *counts, PROCESSES, INBOX_ENDS,
 INBOX_CELLS, _, DIRECTORY, CHANNELS, CHANNEL_CELLS, READY, CONNECTIONS, FREE_ENDS, FREE_CELLS,
 ENVELOPES) = struct.unpack_from("<24xQ32x6I8x16I32x12Q", memory)  # without groups: we are in none
block_bits = (max(sum(counts[:8]), sum(counts[8:])) - 1).bit_length()
free_cells = [1 << (count - 1).bit_length() for count in counts]
arenas, even_share = {}, (16 << 20) // channel_cells  # {row: (incarnation, mapping)}, bytes

def check(fine, value): return value if fine else sys.exit("the segment is corrupt")
def process(row): return check(row < rows, PROCESSES + 512 * row)
def envelope(block): return check(block < rows << block_bits, ENVELOPES + 64 * block)
def classes(row): return slice(0, 8) if 2 <= row < 2 + worker_rows else slice(8, 16)  # of `counts`: workers' first
def next_stamp(stamp, state): return (stamp >> 24) + 1 << 24 & ALL | me << 8 | state

class Queue:
    def __init__(self, head, cells, size, tail=64):  # the tail lies so far behind the head; full at its size
        self.head, self.tail, self.cells, self.size = head, head + tail, cells, size

    def look(self, position):  # (where its cell is, what stands there, laps it is behind: 0 published, 1 free for us)
        offset = self.cells + 8 * (position % self.size)
        return offset, (cell := load(offset)), position // self.size + 1 - (cell >> 32) & LOW

    def pop(self, take=True):  # (a block that is ours now, whether it was withdrawn); not to take: whether one waits
        while True:
            _, cell, behind = self.look(head := load(self.head))
            block, stamp = cell & LOW, 0 if behind else load(envelope(cell & LOW))
            waits = stamp & 255 in (QUEUED, WITHDRAWN)
            if load(self.head) != head or behind > 1: continue  # the stamp may be of a later push
            if behind or waits and not take: return waits
            if not waits or swap(envelope(block), stamp, next_stamp(stamp, OWNED)):
                swap(self.head, head, head + 1)  # past what we took, or past what somebody else did
                if waits: return block, stamp & 255 == WITHDRAWN

    def push(self, block, kind, index):  # false: full, and the block is ours still
        store(envelope(block) + 8, load(envelope(block) + 8) & ~LOW | kind << 28 | index)
        store(envelope(block), queued := next_stamp(load(envelope(block)), QUEUED))
        while True:
            offset, cell, behind = self.look(tail := load(self.tail))
            full = behind == 1 and tail - load(self.head) >= self.size and self.pop(take=False)
            if behind == 0:
                swap(self.tail, tail, tail + 1)
            elif full and tail - load(self.head) >= self.size and load(self.tail) == tail:
                store(envelope(block), next_stamp(queued, OWNED))
                return False
            elif behind == 1 and not full and swap(offset, cell, (tail // self.size + 1 & LOW) << 32 | block):
                swap(self.tail, tail, tail + 1)
                return True

def free_queue(row, size_class):
    sizes, ends = free_cells[classes(row)], FREE_ENDS + 128 * (row * 8 + size_class)
    first = row * max(sum(free_cells[:8]), sum(free_cells[8:])) + sum(sizes[:size_class])
    return Queue(ends, FREE_CELLS + 8 * first, sizes[size_class])

def place(block):  # (arena, class, offset in the arena)
    arena, number, offset = block >> block_bits, block & (1 << block_bits) - 1, 0
    for size_class, count in enumerate(counts[classes(arena)]):
        if number < count:
            return arena, size_class, offset + number * CLASS_BYTES[size_class]
        number, offset = number - count, offset + count * CLASS_BYTES[size_class]

def chain(block):  # it and its links; most have none
    parts = [block]
    while (link := load(envelope(parts[-1]) + 8) >> 32) and load(envelope(link - 1)) & 255 == LINKED and (
            load(envelope(link - 1) + 16) & LOW == block):
        parts.append(check(len(parts) < 64, link - 1))
    return parts

def payload(block):  # its bytes, copied; none when its arena is gone
    arena, size_class, offset = place(block)
    incarnation = load(process(arena)) >> 32
    if arenas.get(arena, (0, b""))[0] != incarnation:
        say(WANT_ARENA, arena, incarnation)
        fields, fds = hear(ARENA)
        arenas[arena] = incarnation, mmap.mmap(fds[0], fields[8], prot=mmap.PROT_READ) if fds else b""
        [os.close(fd) for fd in fds]
    return arenas[arena][1][offset:offset + CLASS_BYTES[size_class]]

def free(block):  # the last link first
    for part in reversed(chain(block)):
        stamp, (arena, size_class, _) = load(envelope(part)), place(part)
        if part != block and not swap(envelope(part), stamp, next_stamp(stamp, OWNED)): break
        store(envelope(part) + 8, 0)
        free_queue(arena, size_class).push(part, FREE_QUEUE, arena * 8 + size_class)

def claim():  # a block of 512 bytes of our arena: one that came back, else one never used
    if back := free_queue(me, 0).pop(): return back[0]
    used = load(process(me) + 128)
    block = check(used & LOW < counts[6], me << block_bits | used & LOW)
    store(process(me) + 128, used + 1)
    store(envelope(block), next_stamp(load(envelope(block)), OWNED))
    return block

def ring(row):  # true: it slept
    seen = load(process(row) + 64)
    with contextlib.suppress(OSError):  # a full buffer: it is awake already
        return seen & 1 and ringer.sendto(b"\0", socket.MSG_DONTWAIT, b"\0sluice-%016x-%d" % (instance, row)) and (
            swap(process(row) + 64, seen, seen & ~1) or True)

def reply(about, answered, answered_generation, content):
    worker, incarnation, slot, generation, _ = about
    index = check(2 <= worker < 2 + worker_rows and slot < connections, (worker - 2) * connections + slot)
    block, record, bits = claim(), CONNECTIONS + 256 * index, READY + 33344 * (worker - 2)
    offset, replies = place(block)[2], Queue(record + 64, record + 128, 16, tail=8)
    content = PAYLOAD.pack(load(envelope(block)) >> 24, len(content), LOW, 0, time.monotonic_ns() // 1_000_000, worker,
                           me, *about[1:], answered, answered_generation) + content
    own[offset:offset + len(content)] = content
    store(envelope(block) + 16, 0)
    opened = generation << 32 | 1, generation << 32 | 2
    while load(process(worker)) == incarnation << 32 | LIVE and load(record) in opened:
        if load(record + 24) & LOW == 0 and replies.push(block, REPLY_QUEUE, index):
            for level, bit in ((576 + slot // 64 * 8, slot), (64 + slot // 4096 * 8, slot // 64), (0, slot // 4096)):
                change(bits + level, lambda seen, mask=1 << bit % 64: seen | mask)
            return ring(worker)
        ring(worker)
        select.select([control], [], [], 0.001)  # nobody promised to ring us when there is room
    return free(block)  # the client is gone

def channel(name):
    hashed = 0xCBF29CE484222325
    for byte in name: hashed = (hashed ^ byte) * 0x100000001B3 & ALL
    for step in range(2 * channels):
        entry = load(DIRECTORY + 8 * ((hashed + step) % (2 * channels)))
        record = CHANNELS + 960 * check(entry and (entry & LOW) <= channels, (entry & LOW) - 1)
        alive = load(record) & 65535 in (2, 3) and (load(record) ^ entry) >> 32 & 65535 == 0  # of that generation
        if entry >> 48 == hashed >> 48 and alive and memory[record + 40:record + 40 + (load(record + 16) >> 32)] == name:
            return (entry & LOW) - 1

http_request, body = channel(b"http.request"), channel(b"http.request.body")
record, mine = CHANNELS + 960 * http_request, 1 << me % 64
readers, waiters, doorbell, woken = record + 384 + me // 64 * 8, record + 512 + me // 64 * 8, process(me) + 64, False
requests = Queue(record + 640, CHANNEL_CELLS + 8 * channel_cells * http_request, channel_cells)
inbox = Queue(INBOX_ENDS + 128 * me, INBOX_CELLS + 8 * inbox_cells * me, inbox_cells)
change(readers, lambda bits: bits | mine)
while True:
    while taken := inbox.pop() or requests.pop():
        block, withdrawn = taken
        content = b"".join(map(payload, chain(block))) or bytes(64)  # the message: content[64:64 + length]
        generation, length, index, expires, _, worker, _, *about, _, _ = PAYLOAD.unpack_from(content)
        if index == http_request:
            change(record + 320, lambda waiting, long=length if length > even_share else 0: waiting - long & ALL)
            if woken and requests.pop(take=False):  # we leave some: one that sleeps is rung for them
                any(load(record + 512 + row // 64 * 8) >> row % 64 & 1 and ring(row) for row in range(rows))
            woken = False
        if index == http_request and not withdrawn and not 0 < expires <= time.monotonic_ns() // 1_000_000:
            if len(sys.argv) > 2: continue  # and hold it
            reply((worker, *about), block, generation, ANSWER)
        free(block)
        if index == body: ring(worker)  # it sends no more of a body before it sees that we took this
    change(waiters, lambda bits: bits | mine)
    change(doorbell, lambda seen: seen & ~LOW | seen + 4 & LOW | 1)
    if not (inbox.pop(take=False) or requests.pop(take=False)) and control in select.select([bell, control], [], [])[0]:
        sys.exit("the gateway hung up")
    change(doorbell, lambda seen: seen & ~1)
    change(waiters, lambda bits: bits & ~mine)
    while select.select([bell], [], [], 0)[0]: bell.recv(1)
    woken = True
