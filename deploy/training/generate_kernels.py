#!/usr/bin/env python3
"""Generates C programs of random small kernels, to widen training data.

Each program strings together kernels of many kinds (streams, recurrences,
pointer chasing, branches, interpreters, sorting, hashing, stencils, strings,
division chains, large straight-line code, ...) with random types, strides,
footprints and optimisation levels. They need no C library, so that a trace is
kernels from its first instruction on. The same seed gives the same programs.

    generate_kernels.py --out DIR --count 40 --seed 1

compiles DIR/NAME for AArch64 and writes DIR/catalog.tsv for simulate.py.
"""

import argparse
import pathlib
import random
import subprocess
import sys

INTEGERS = ["u8", "i16", "i32", "u32", "i64", "u64"]
FLOATS = ["f32", "f64"]
SIZE = {"u8": 1, "i16": 2, "i32": 4, "u32": 4, "i64": 8, "u64": 8,
        "f32": 4, "f64": 8, "vf": 16, "vi": 16}

PRELUDE = """
typedef unsigned char u8; typedef short i16; typedef int i32;
typedef unsigned u32; typedef long i64; typedef unsigned long u64;
typedef float f32; typedef double f64;
typedef f32 vf __attribute__((vector_size(16)));
typedef i32 vi __attribute__((vector_size(16)));
#define N __attribute__((noinline))
static u64 seed = %dUL;
static inline u64 rnd(void) {
  seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17; return seed;
}
void *memcpy(void *d, const void *s, u64 n) {
  u8 *a = d; const u8 *b = s; while (n--) *a++ = *b++; return d;
}
void *memset(void *d, int c, u64 n) {
  u8 *a = d; while (n--) *a++ = c; return d;
}
volatile u64 sink; volatile f64 fsink;
"""


class Program:
    """C text of one program; kernels add functions and calls."""

    def __init__(self, rng):
        self.rng = rng
        self.text = []
        self.calls = []
        self.count = 0

    def pick(self, *values):
        return self.rng.choice(values)

    def between(self, low, high):
        return self.rng.randint(low, high)

    def log_between(self, low, high):
        return int(low * (high / low) ** self.rng.random())

    def name(self):
        self.count += 1
        return f"k{self.count}"

    def array(self, kind, elements):
        name = f"a{len(self.text)}_{self.count}"
        self.text.append(f"static {kind} {name}[{max(1, int(elements))}]"
                         " __attribute__((aligned(64)));")
        return name

    def kernel(self, body, argument="i64 n", call=None):
        name = self.name()
        self.text.append(f"static N void {name}({argument}) {{{body}}}")
        self.calls.append((call or "{f}({n});").replace("{f}", name))

    def any_type(self):
        return self.pick(*(INTEGERS + FLOATS))

    def elements(self, kind, most=1 << 20):
        return max(16, self.log_between(256, most) // SIZE[kind])

    def expression(self, names, depth, floating):
        if depth == 0 or self.rng.random() < 0.15:
            if self.rng.random() < 0.8:
                return self.pick(*names)
            return (f"{self.rng.random():.3f}" if floating
                    else str(self.between(1, 1000)))
        a = self.expression(names, depth - 1, floating)
        b = self.expression(names, depth - 1, floating)
        if floating:
            return f"({a} {self.pick('+', '-', '*', '+', '*')} {b})"
        op = self.pick("+", "-", "*", "^", "&", "|", "+", "shift", "?")
        if op == "shift":
            return f"(({a}) {self.pick('>>', '<<')} {self.between(1, 13)})"
        if op == "?":
            return f"({a} < {b} ? {a} : {b} + 3)"
        return f"({a} {op} {b})"


def stream(p):
    kind = p.any_type()
    size = p.elements(kind)
    a, b = p.array(kind, size), p.array(kind, size)
    step = p.pick(1, 1, 1, 2, 3, 7, 8, 16, 33)
    value = p.expression([f"{a}[j]", f"{b}[j]", "x"], p.between(1, 3),
                         kind in FLOATS)
    p.kernel(f"""static u64 at; u64 j = at; {kind} x = n;
      for (i64 i = 0; i < n; i++) {{ {a}[j] = {value}; j += {step};
        if (j >= {size}) j = j - {size}; }} at = j;""")


def reduction(p):
    kind = p.pick("i32", "i64", "u64", "f32", "f64", "f64")
    size = p.elements(kind)
    a = p.array(kind, size)
    chains = p.between(1, 4)
    op = p.pick("s{c} = s{c} * x{c} + {v}", "s{c} += {v} * {v}", "s{c} += {v}",
                "s{c} = s{c} - {v} * x{c}", "s{c} = s{c} * x{c}; s{c} += {v}",
                "if ({v} > s{c}) s{c} = {v}")
    declare = "".join(f"{kind} s{c} = {c}, x{c} = n;" for c in range(chains))
    body = "".join(op.replace("{c}", str(c)).replace(
        "{v}", f"{a}[(i + {c * p.between(1, 9)}) % {size}]") + ";"
                   for c in range(chains))
    total = " + ".join(f"s{c}" for c in range(chains))
    p.kernel(f"""{declare} for (i64 i = 0; i < n; i++) {{ {body} }}
      fsink = (f64)({total});""")


def recurrence(p):
    kind = p.pick("f32", "f64", "f64", "i32", "i64")
    size = p.elements(kind, 1 << 16)
    a, b = p.array(kind, size + 8), p.array(kind, size + 8)
    back = p.pick(1, 1, 1, 2, 4)
    value = p.expression([f"{a}[i - {back}]", f"{b}[i]", f"{a}[i + 1]"],
                         p.between(1, 4), kind in FLOATS)
    p.kernel(f"""i64 m = n < {size} ? n : {size};
      for (i64 i = {back}; i < m; i++) {a}[i] = {value};""")


def chase(p):
    size = p.log_between(16, 1 << 16)
    work = p.expression(["s", "at", "n"], p.between(0, 3), False)
    link = p.array("u32", size)
    p.kernel(f"""static u32 at; static u32 made;
      for (u32 k = 0; k < 200 && made < {size}; k++, made++)
        {link}[made] = (made * 2654435761u + 12345u) % {size};
      u64 s = 0; for (i64 i = 0; i < n; i++) {{ at = {link}[at]; s += {work}; }}
      sink = s;""")


def branches(p):
    size = p.log_between(64, 1 << 15)
    a = p.array("u8", size)
    test = p.pick("rnd() & 1", f"(rnd() & 15) < {p.between(1, 14)}",
                  f"i % {p.between(2, 37)} == 0", f"{a}[i % {size}] & 1",
                  f"(i * i) % {p.between(3, 19)} < {p.between(1, 3)}",
                  f"{a}[rnd() % {size}] > 100")
    one = p.expression(["s", "t", "i"], p.between(1, 4), False)
    two = p.expression(["s", "t", "i"], p.between(1, 3), False)
    write = p.pick("", f"{a}[i % {size}] = s;", f"{a}[i % {size}] = rnd();")
    p.kernel(f"""i64 s = 1, t = n; for (i64 i = 0; i < n; i++) {{
      if ({test}) {{ s = {one}; }} else {{ t = {two}; {write} }} }}
      sink = s + t;""")


def interpreter(p):
    cases = p.between(4, 24)
    size = p.log_between(16, 2048)
    code = p.array("u8", size)
    lines = "".join(f"case {c}: {p.pick('x', 'y', 'z')} = "
                    f"{p.expression(['x', 'y', 'z', 'i'], 2, False)}; break;"
                    for c in range(cases))
    p.kernel(f"""static u32 made; i64 x = 1, y = 2, z = 3;
      for (u32 k = 0; k < 64 && made < {size}; k++) {code}[made++] =
        rnd() % {cases};
      for (i64 i = 0; i < n; i++) switch ({code}[i % {size}]) {{ {lines} }}
      sink = x + y + z;""")


def calls(p):
    count = p.between(2, 16)
    names = [p.name() for _ in range(count)]
    for f in names:
        value = p.expression(["a", "b", "a"], p.between(1, 4), False)
        p.text.append(f"static N i64 {f}(i64 a, i64 b) {{ return {value}; }}")
    table = f"t{p.count}"
    p.text.append(f"static i64 (*const {table}[])(i64, i64) = "
                  f"{{{', '.join(names)}}};")
    index = p.pick(f"i % {count}", f"rnd() % {count}",
                   f"(i / {p.between(2, 9)}) % {count}")
    p.kernel(f"""i64 s = 0; for (i64 i = 0; i < n; i += 4)
      s += {table}[{index}](s, i); sink = s;""")


def recursion(p):
    f = p.name()
    fan = p.pick(1, 2, 2, 3)
    more = "+".join(f"{f}(d - {p.between(1, 2)}, s + {k})" for k in range(fan))
    p.text.append(f"static N i64 {f}(i64 d, i64 s) {{ if (d <= 0) return s;"
                  f" i64 keep = s * {p.between(2, 9)}; return keep ^ ({more});"
                  " }")
    depth = {1: 60, 2: 6, 3: 4}[fan]
    p.kernel(f"for (i64 i = 0; i < n; i += 100) sink = {f}({depth}, i);")


def sorting(p):
    size = p.between(8, 60)
    kind = p.pick("i32", "i64", "f64", "u8")
    a = p.array(kind, size)
    p.kernel(f"""for (i64 r = 0; r < n; r += {size * size // 4 + 1}) {{
      for (int i = 0; i < {size}; i++) {a}[i] = ({kind})(rnd() & 1023);
      for (int i = 1; i < {size}; i++) {{ {kind} v = {a}[i]; int j = i - 1;
        while (j >= 0 && {a}[j] > v) {{ {a}[j + 1] = {a}[j]; j--; }}
        {a}[j + 1] = v; }} }}""")
    big = p.log_between(64, 1 << 15)
    b = p.array("u32", big)
    p.kernel(f"""u64 s = 0; for (i64 r = 0; r < n; r += 20) {{
      u32 want = rnd() % {big * 3}, low = 0, high = {big};
      while (low < high) {{ u32 mid = (low + high) / 2;
        if ({b}[mid] + mid * 3 < want) low = mid + 1; else high = mid; }}
      s += low; }} sink = s;""")


def hashing(p):
    bits = p.between(6, 15)
    kind = p.pick("u32", "u64")
    table = p.array(kind, 1 << bits)
    keys = p.log_between(16, 1 << bits)
    p.kernel(f"""u64 hits = 0; for (i64 r = 0; r < n; r += 8) {{
      {kind} key = rnd() % {keys} + 1;
      u64 h = (key * 0x9e3779b97f4a7c15UL) >> {64 - bits};
      for (int k = 0; k < {p.between(2, 12)}; k++) {{
        if ({table}[h] == key) {{ hits++; break; }}
        if (!{table}[h]) {{ {table}[h] = key; break; }}
        h = (h + 1) & {(1 << bits) - 1}; }} }} sink = hits;""")


def matrix(p):
    kind = p.pick("f32", "f64", "f64", "i32")
    m = p.between(6, 40)
    ld = p.pick(m, m, 64, 128, 512 // SIZE[kind] * 4)
    ld = max(ld, m)
    a, b, c = (p.array(kind, ld * m) for _ in range(3))
    order = p.pick("ijk", "ikj", "jki")
    loops = "".join(f"for (int {v} = 0; {v} < {m}; {v}++) " for v in order[1:])
    p.kernel(f"""static int row; for (i64 r = 0; r < n; r += {m * m * 4}) {{
      int {order[0]} = row; row = (row + 1) % {m};
      {loops} {c}[i * {ld} + j] += {a}[i * {ld} + k] * {b}[k * {ld} + j]; }}""")


def stencil(p):
    kind = p.pick("f32", "f64", "f64", "i32", "u8")
    w = p.pick(32, 61, 64, 100, 128, 256)
    h = p.between(8, 64)
    a = p.array(kind, w * h)
    b = a if p.rng.random() < 0.5 else p.array(kind, w * h)
    value = p.pick(f"{a}[q] + {a}[q - 1] + {a}[q + 1]",
                   f"{a}[q - 1] + {a}[q + 1] + {a}[q - {w}] + {a}[q + {w}]",
                   f"{a}[q - {w}] - 2 * {a}[q] + {a}[q + {w}]")
    scale = "* 0.25f" if kind in FLOATS else "/ 4" if p.pick(0, 1) else ">> 2"
    p.kernel(f"""static int y = 1; for (i64 r = 0; r < n; r += {w * 7}) {{
      for (int x = 1; x < {w - 1}; x++) {{ int q = y * {w} + x;
        {b}[q] = ({kind})(({value}) {scale}); }}
      y = y + 1 < {h - 1} ? y + 1 : 1; }}""")


def strings(p):
    size = p.log_between(32, 1 << 14)
    a, b = p.array("u8", size + 1), p.array("u8", size + 1)
    body = p.pick(
        f"{b}[i] = {a}[i] >= 97 && {a}[i] <= 122 ? {a}[i] - 32 : {a}[i];",
        f"if ({a}[i] == 32) words++; {b}[i] = {a}[i];",
        f"words += {a}[i] != {b}[{size - 1} - i];",
        f"words = words * 31 + {a}[i];",
        f"if ({a}[i] != {b}[i]) {{ words += i; {b}[i] = {a}[i]; }}")
    p.kernel(f"""u64 words = 0; static u32 made;
      for (u32 k = 0; k < 100 && made < {size}; k++)
        {a}[made++] = 32 + rnd() % {p.pick(2, 90)};
      i64 m = n < {size} ? n : {size};
      for (i64 i = 0; i < m; i++) {{ {body} }} sink = words;""")


def bits(p):
    table = p.array("u32", 256)
    body = p.pick(f"s = (s >> 8) ^ {table}[(s ^ i) & 255];",
                  "s ^= s << 7; s ^= s >> 9; s += i;",
                  "s = (s << 13 | s >> 51) * 0x9e3779b97f4a7c15UL;",
                  "for (u64 v = s; v; v &= v - 1) t++; s = s * 5 + 1;",
                  "s += __builtin_clzl(s | 1) + __builtin_bswap64(s);",
                  "t += (u64)(((unsigned __int128)s * s) >> 64); s += t;")
    p.kernel(f"""u64 s = seed, t = 0; for (i64 i = 0; i < n; i++) {{ {body} }}
      sink = s + t;""")


def division(p):
    kind = p.pick("i32", "u64", "i64", "f32", "f64")
    size = p.elements(kind, 1 << 14)
    a = p.array(kind, size)
    if kind in FLOATS:
        root = "__builtin_sqrtf" if kind == "f32" else "__builtin_sqrt"
        body = p.pick("s = c / (s + 1);", f"s += c / ({a}[j] + 2);",
                      f"s += {root}({a}[j] + 1);", f"s = {root}(s + c);",
                      f"{a}[j] = {a}[j] / (c + 1);")
    else:
        body = p.pick("s = (s + c) / 7;", f"s += c / ({a}[j] | 1);",
                      "s = s % (c | 1) + i;", f"{a}[j] = (s += i) / 10 % 10;")
    p.kernel(f"""{kind} s = 3, c = n + 1; for (i64 i = 0; i < n; i += 4) {{
      i64 j = i % {size}; {body} }} fsink = (f64)s;""")


def structures(p):
    size = p.log_between(16, 4096)
    node = f"n{p.count}_{len(p.text)}"
    pad = p.pick(0, 8, 24, 40, 104)
    p.text.append(f"static struct {node} {{ struct {node} *left, *right; "
                  f"i64 key; u8 pad[{pad} + 1]; }} {node}[{size}];")
    p.kernel(f"""static u32 used; for (i64 r = 0; r < n; r += 40) {{
      i64 key = rnd() % {size * 2}; struct {node} *at = {node}; int d = 0;
      if (!used) used = 1;
      for (;;) {{ if (at->key == key || d++ > 40) break;
        struct {node} **next = key < at->key ? &at->left : &at->right;
        if (!*next) {{ if (used < {size}) {{ *next = &{node}[used++];
          (*next)->key = key; }} break; }}
        at = *next; }} sink = at->key; }}""")


def straight_line(p):
    floating = p.rng.random() < 0.35
    kind = "f64" if floating else "i64"
    names = [f"v{k}" for k in range(p.between(3, 14))]
    count = p.log_between(30, 400)
    lines = "".join(
        f"{p.pick(*names)} = {p.expression(names, p.between(1, 2), floating)};"
        + ("" if p.rng.random() > 0.08 else
           f"if ({p.pick(*names)} > {p.between(0, 99)}) {p.pick(*names)} = 1;")
        for _ in range(count))
    declare = ",".join(f"{v} = n + {k}" for k, v in enumerate(names))
    p.kernel(f"""{kind} {declare}; for (i64 i = 0; i < n; i += {count * 3}) {{
      {lines} }} fsink = (f64)({' + '.join(names)});""")


def stores(p):
    size = p.log_between(64, 1 << 18) // 8 * 8 + 8
    a = p.array("u64", size // 8)
    kind = p.pick("u8", "i16", "i32", "u64")
    body = p.pick(
        f"(({kind} *){a})[(at += {p.pick(1, 1, 3, 8, 64)}) % "
        f"({size} / sizeof({kind}))] = i;",
        f"u64 j = rnd() % {size // 8}; {a}[j] = i; s += {a}[j];",
        f"((u8 *){a})[i & 7] = i; s += {a}[0];",
        f"{a}[i % {min(size // 8, 4)}] += s; s += {a}[(i + 1) % "
        f"{min(size // 8, 4)}];",
        f"{a}[i % {size // 8}] = {a}[(i * 7) % {size // 8}] + 1;")
    p.kernel(f"""static u64 at; u64 s = 0; for (i64 i = 0; i < n; i++)
      {{ {body} }} sink = s;""")


def conversions(p):
    size = p.elements("f64", 1 << 15)
    a, b = p.array("f64", size), p.array("i32", size)
    body = p.pick(f"{b}[j] = (i32)({a}[j] * 3.5);", f"{a}[j] = {b}[j] * 0.5;",
                  f"s += (f32){a}[j] * {b}[j];", "s = (f64)(i64)(s * 1.5 + i);")
    p.kernel(f"""f64 s = 1; for (i64 i = 0; i < n; i++) {{
      i64 j = i % {size}; {body} }} fsink = s;""")


def throughput(p):
    """Independent chains of slow and fast operations: which of them a machine
    has units for, and how many, shows only where they compete."""
    kind = p.pick("f32", "f64", "f64", "i32", "i64", "u64", "vf", "vi")
    floating = kind in ("f32", "f64", "vf")
    ops = (["{x} = {x} / {y}", "{x} = {y} / {x}", "{x} = {x} * {y}",
            "{x} = {x} + {y}", "{x} = {x} - {y} * {z}"] if floating else
           ["{x} = {x} * {y}", "{x} = {x} + ({y} ^ {z})", "{x} = {x} * 3 + {y}",
            "{x} = ({x} >> 3) + {y}"])
    if kind in ("f32", "f64"):
        root = "__builtin_sqrtf" if kind == "f32" else "__builtin_sqrt"
        ops.append("{x} = " + root + "({x}) + {y}")
    if kind in ("i32", "i64", "u64"):
        ops += ["{x} = {x} / ({y} | 1)", "{x} = {y} / ({x} | 1)"]
    chosen = [p.pick(*ops) for _ in range(p.between(1, 2))]
    chains = p.between(1, 8)
    size = p.elements("f64", 1 << 14)
    first = {"vf": "{n, 2, 3, 4}", "vi": "{n, 5, 6, 7}"}.get(kind, "n + 3")
    declare = "".join(f"{kind} x{c} = {first};" for c in range(chains))
    other = p.pick(f"x{p.between(0, chains - 1)}", "y", "y", "y")
    body = "".join(op.replace("{x}", f"x{c}").replace("{y}", other)
                   .replace("{z}", "z") + ";"
                   for op in chosen for c in range(chains))
    a = p.array("vf" if kind == "vf" else "vi" if kind == "vi" else kind, size)
    keep = p.pick("", f"{a}[i % {size}] = x0;", f"x0 += {a}[i % {size}];")
    last = "+".join(f"(f64)x{c}" + ("[0]" if kind in ("vf", "vi") else "")
                    for c in range(chains)).replace("(f64)", "")
    p.kernel(f"""{declare} {kind} y = {first}, z = {first};
      for (i64 i = 0; i < n; i += {chains}) {{ {body} {keep} }}
      fsink = (f64)({last});""")


def sweep(p):
    """A recurrence along one index of a table, for each value of the other:
    which of the two runs faster decides how much is independent."""
    kind = p.pick("f32", "f64", "f64", "i32")
    w, h = p.between(5, 120), p.between(5, 60)
    a, b = p.array(kind, w * h), p.array(kind, w * h)
    along = p.pick(1, w)
    value = p.expression([f"{a}[q - {along}]", f"{b}[q]", f"{a}[q]"],
                         p.between(1, 3), kind in FLOATS)
    if kind in FLOATS and p.rng.random() < 0.5:
        value = f"({value}) / (2 + {b}[q - {along}])"
    loops = p.pick(f"int y = at; for (int x = 1; x < {w}; x++)",
                   f"int x = at % {w - 1} + 1; for (int y = 1; y < {h}; y++)")
    p.kernel(f"""static int at = 1; for (i64 r = 0; r < n; r += {w + h}) {{
      {loops} {{ int q = y * {w} + x; {a}[q] = {value}; }}
      at = at + 1 < {h} ? at + 1 : 1; }}""")


def atomics(p):
    size = p.pick(1, 4, 64)
    a = p.array("u64", size)
    body = p.pick(f"__atomic_fetch_add(&{a}[i % {size}], i, __ATOMIC_RELAXED);",
                  f"__atomic_store_n(&{a}[i % {size}], i, __ATOMIC_RELEASE);",
                  f"s += __atomic_load_n(&{a}[i % {size}], __ATOMIC_ACQUIRE);")
    p.kernel(f"""u64 s = 0; for (i64 i = 0; i < n; i += 6) {{ s = s * 3 + i;
      s ^= s >> 3; {body} }} sink = s;""")


KINDS = [stream, stream, stream, reduction, reduction, recurrence, recurrence,
         chase, branches, branches, branches, interpreter, calls, recursion,
         sorting, hashing, matrix, stencil, stencil, strings, bits, division,
         structures, straight_line, straight_line, stores, stores, conversions,
         atomics, throughput, throughput, throughput, sweep, sweep]


def generate(seed):
    rng = random.Random(seed)
    p = Program(rng)
    kinds = [rng.choice(KINDS) for _ in range(rng.randint(10, 22))]
    if rng.random() < 0.7:  # atomics are rare in real programs
        kinds = [k for k in kinds if k is not atomics]
    for kind in kinds:
        kind(p)
    schedule = []
    for call in p.calls:
        work = p.log_between(150, 2500)
        schedule.append(call.replace("{n}", f"{work} + (round & 3) * 16"))
    rng.shuffle(schedule)
    body = "\n  ".join(schedule)
    text = [PRELUDE % (seed * 7919 + 88172645463325252)]
    text += p.text
    text.append(f"void work(void) {{ for (i64 round = 0;; round++) {{\n  "
                f"{body}\n}} }}\n"
                '__asm__(".globl _start\\n_start:\\n bl work\\n mov x8, #93\\n'
                ' svc #0\\n");')
    flags = rng.choice(["-O0", "-O1", "-O2", "-O2", "-O3", "-O3", "-O3",
                        "-O3 -ffast-math", "-Os"])
    return "\n".join(text), flags, sorted({k.__name__ for k in kinds})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compiler", default="aarch64-linux-gnu-gcc")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = ["name\tfamily\tlanguage\tflags\tnote"]
    for k in range(args.count):
        seed = args.seed * 1000 + k
        name = f"kernels_{seed:05d}"
        text, flags, kinds = generate(seed)
        source = args.out / (name + ".c")
        source.write_text(text)
        done = subprocess.run(
            [args.compiler, *flags.split(), "-static", "-nostdlib",
             "-ffreestanding", "-fno-math-errno", "-fno-stack-protector", "-mno-outline-atomics",
             "-fno-tree-loop-distribute-patterns", "-w", "-o",
             args.out / name, source])
        if done.returncode != 0:
            sys.exit(f"{source}: does not compile")
        rows.append(f"{name}\tkernels\tC\t{flags}\t{', '.join(kinds)}")
    (args.out / "catalog.tsv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
