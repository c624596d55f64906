#!/usr/bin/env python3
"""Reads a .pvt trace by docs/trace_format.md alone, and prints it as text.

Shows that the document suffices; no code is shared with the product. Slow.
Needs the zstd command. Checksums are compared if the module xxhash is there.

    independent_reader.py FILE

One line per instruction: pc flags op_class access_size address taken
sources/destinations latencies...
"""
import struct
import subprocess
import sys

try:
    import xxhash
except ImportError:
    xxhash = None

MASK = (1 << 64) - 1


def check(condition, what):
    if not condition:
        sys.exit(f"independent_reader: {what}")


def checksum_matches(data, value):
    return xxhash is None or xxhash.xxh3_64_intdigest(data) == value


class Bytes:
    """Takes numbers from the front of a byte string."""

    def __init__(self, data, position=0):
        self.data, self.position = data, position

    def take(self, size):
        check(self.position + size <= len(self.data), "the data ends early")
        self.position += size
        return self.data[self.position - size:self.position]

    def u32(self):
        return struct.unpack("<I", self.take(4))[0]

    def u64(self):
        return struct.unpack("<Q", self.take(8))[0]

    def string(self):
        return self.take(self.u32()).decode()

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def at_end(self):
        return self.position == len(self.data)


def unzigzag(value):
    return value // 2 if value % 2 == 0 else -(value + 1) // 2


def decompress(stored, size):
    if not stored:
        check(size == 0, "an empty section should hold bytes")
        return b""
    out = subprocess.run(["zstd", "-dcq"], input=stored, check=True,
                         stdout=subprocess.PIPE).stdout
    check(len(out) == size, "a section has another size")
    return out


def read_statics(shape_bytes, ids, steps, indices):
    shapes = []
    while not shape_bytes.at_end():
        flags, size, op = (shape_bytes.varint() for _ in range(3))
        counts = shape_bytes.take(1)[0]
        sources, destinations = counts % 16, counts // 16
        classes = list(shape_bytes.take(sources + destinations))
        shapes.append((flags, size, op - 1, sources, classes))
    statics, pc = [], 0
    while not ids.at_end():
        flags, size, op, sources, classes = shapes[ids.varint()]
        pc = (pc + unzigzag(steps.varint())) & MASK
        registers = [(c, indices.varint()) for c in classes]
        statics.append((pc, flags, op, size, registers[:sources],
                        registers[sources:]))
    check(steps.at_end() and indices.at_end(), "too many statics")
    return statics


def read_flow(n, runs, corrections):
    last, second = {}, {}
    order, unused = [0], 1
    while True:
        for _ in range(runs.varint()):
            current = order[-1]
            if current not in last:
                last[current] = unused
                unused += 1
            order.append(last[current])
        if len(order) == n:
            break
        current, code = order[-1], corrections.varint()
        if code == 0:
            following = second[current]
        elif code == 1:
            following = unused
            unused += 1
        else:
            following = code - 2
        if current in last:
            second[current] = last[current]
        else:
            second.pop(current, None)
        last[current] = following
        order.append(following)
    check(runs.at_end() and corrections.at_end(), "too much flow")
    return order


def read_chunk(data, columns):
    begin = data.position - 4
    n, first = data.u32(), data.u64()
    entries = [(data.u32(), data.u32(), data.u64())
               for _ in range(16 + columns)]
    header = data.data[begin:data.position]
    check(checksum_matches(header, data.u64()), "damaged chunk header")
    sections = []
    for size, stored_size, checksum in entries:
        stored = data.take(stored_size)
        check(not stored or checksum_matches(stored, checksum), "damaged")
        sections.append(Bytes(decompress(stored, size)))

    statics = read_statics(*sections[0:4])
    order = read_flow(n, sections[4], sections[5])
    check(set(order) == set(range(len(statics))), "an unused static")

    taken = []
    for i in range(n):
        branch = statics[order[i]][1] & (1 << 3 | 1 << 4)
        taken.append(int(bool(branch) and i + 1 < n and
                         statics[order[i + 1]][0] != statics[order[i]][0] + 4))
    at = 0
    while not sections[6].at_end():
        at += sections[6].varint()
        taken[at] ^= 1

    addresses, state, before = [], {}, 0
    for s in order:
        if not statics[s][1] & 1 << 15:
            addresses.append(0)
            continue
        last, stride, offset = state.get(s, (before, 0, 0))
        code = sections[7].take(1)[0]
        address = last + stride
        if code == 1:
            address = before + offset
        elif code > 1:
            low_first = [sections[8 + k].take(1)[0] for k in range(code - 1)]
            address += unzigzag(int.from_bytes(low_first, "little"))
        address &= MASK
        state[s] = (address, address - last, address - before)
        before = address
        addresses.append(address)
    check(all(s.at_end() for s in sections[7:16]), "too many addresses")

    latencies = []
    for section in sections[16:]:
        column = list(struct.unpack(f"<{n}H", section.take(2 * n)))
        column = [section.u32() if v == 65535 else v for v in column]
        check(section.at_end(), "too many latencies")
        latencies.append(column)

    for i in range(n):
        pc, flags, op, size, sources, destinations = statics[order[i]]
        registers = "/".join(",".join(f"{c}:{x}" for c, x in part)
                             for part in (sources, destinations))
        print(pc, flags, op, size, addresses[i], taken[i], registers,
              *(column[i] for column in latencies))
    return first, n, [sum(column) for column in latencies]


def main():
    with open(sys.argv[1], "rb") as file:
        data = Bytes(file.read())
    check(data.take(8) == b"\x89PVT\r\n\x1a\n", "not a .pvt trace")
    version = data.u32()
    check(version in (1, 2), "another version")
    end = data.u32() + 16
    for _ in range(4):
        data.string()
    names = [data.string() for _ in range(data.u32())]
    check(data.position == end, "a wrong header")
    check(checksum_matches(data.data[:end], data.u64()), "damaged header")

    chunks, instructions, totals = [], 0, [0] * len(names)
    while True:
        offset = data.position
        tag = data.take(4)
        if tag == b"INDX":
            break
        check(tag == b"CHNK", "damaged tag")
        first, n, sums = read_chunk(data, len(names))
        check(first == instructions, "wrong count")
        chunks.append((offset, n))
        instructions += n
        totals = [a + b for a, b in zip(totals, sums)]

    end = data.u32() + offset + 8
    check(data.u64() == instructions, "wrong count")
    check([(data.u64(), data.u32()) for _ in range(data.u32())] == chunks,
          "wrong chunks")
    check([data.u64() for _ in names] == totals, "wrong totals")
    for _ in range(data.u32()):
        data.u64(), data.string()
    for _ in range(data.u32() if version == 2 else 0):
        data.u32(), data.take(data.u32())
    check(data.position == end, "a wrong index")
    check(checksum_matches(data.data[offset:end], data.u64()),
          "damaged index")
    check(data.u64() == offset and data.take(8) == b"PVT-END\n" and
          data.at_end(), "a wrong end")


main()
