"""Writes the assembly of coverage_sve.elf: the instructions of SVE that gem5
21.2 knows, but gathers and scatters, each with a few sets of registers chosen
by a fixed seed.

    python3 coverage_sve.py > coverage_sve.S
    aarch64-linux-gnu-as coverage_sve.S -o coverage_sve.o
    aarch64-linux-gnu-ld coverage_sve.o -o coverage_sve.elf
    aarch64-linux-gnu-strip -s coverage_sve.elf

coverage_sve.pvt is gem5's trace of it, made as that of coverage.py. gem5 does
not know non-temporal accesses.
"""
import random
import re

import coverage_program

R = random.Random(5)
TYPES, FLOATS = 'bhsd', 'hsd'
WIDTH = {'b': 'b', 'h': 'h', 's': 'w', 'd': 'd'}  # of memory, of element counts
SHIFT = {'b': 0, 'h': 1, 'w': 2, 'd': 3}
# Stack pointer or zero register: which of them 31 is, instructions differ.
NO_ZERO = re.compile(r'^(addvl|addpl|mov z.*, [xw]\{)')
out = ['mov x21, #16']


def emit(form):
    """{zd} {zn} {zm} vectors, {pg} {pd} {pn} {pm} predicates, {xd} {xn} {xm}."""
    for turn in range(4):
        z, q = R.sample(range(32), 3), R.sample(range(16), 3)
        # x19 and x21 are the address's.
        x = R.sample([i for i in range(31) if i not in (19, 21)], 3)
        if turn < 3 and not NO_ZERO.match(form):
            x[turn] = 'zr'
        values = {'zd': z[0], 'zn': z[1], 'zm': z[2], 'pg': R.randrange(8),
                  'pd': q[0], 'pn': q[1], 'pm': q[2],
                  'xd': x[0], 'xn': x[1], 'xm': x[2]}
        if '[x19' in form:
            values['pg'] = R.randrange(1, 8)
            out.append(f'ptrue p{values["pg"]}.b')
        out.append(re.sub(r'\{(\w+)\}', lambda m: str(values[m[1]]), form)
                   .replace('<', '{').replace('>', '}'))


def integer(t):
    w = 'x' if t == 'd' else 'w'
    z, m = f'z{{zd}}.{t}, ', f'z{{zd}}.{t}, p{{pg}}/m, '
    same = f'z{{zd}}.{t}, '
    n, nm = f'z{{zn}}.{t}', f'z{{zn}}.{t}, z{{zm}}.{t}'
    for op in 'add sub sqadd uqadd sqsub uqsub'.split():
        emit(f'{op} {z}{nm}')
        emit(f'{op} {z}{same}#7')
    for op in 'subr smax smin umax umin mul'.split():
        emit(f'{op} {z}{same}#7')
    for op in 'lsl lsr asr'.split():
        emit(f'{op} {z}{n}, #3')
        emit(f'{op} {m}{same}#3')
        emit(f'{op} {m}{same}{n}')
        emit(f'{op}r {m}{same}{n}')
        if t != 'd':
            emit(f'{op} {z}{n}, z{{zm}}.d')
            emit(f'{op} {m}{same}z{{zn}}.d')
    emit(f'asrd {m}{same}#3')
    for op in ('add sub subr smax umax smin umin sabd uabd mul smulh umulh '
               'and orr eor bic').split():
        emit(f'{op} {m}{same}{n}')
    for op in 'mla mls mad msb'.split():
        emit(f'{op} {m}{nm}')
    for op in 'abs neg cls clz cnt cnot not rbit'.split():
        emit(f'{op} {m}{n}')
    for sizes, names in (('hsd', 'sxtb uxtb revb'), ('sd', 'sxth uxth revh'),
                         ('d', 'sxtw uxtw revw')):
        if t in sizes:
            for op in names.split():
                emit(f'{op} {m}{n}')
    if t in 'sd':
        for op in 'sdiv udiv sdivr udivr'.split():
            emit(f'{op} {m}{same}{n}')
        emit(f'compact {z}p{{pg}}, {n}')
        emit(f'adr {z}[{nm}, lsl #2]')
    if t != 'd':
        emit(f'saddv d{{zd}}, p{{pg}}, {n}')
    emit(f'uaddv d{{zd}}, p{{pg}}, {n}')
    for op in 'smaxv uminv umaxv sminv andv orv eorv'.split():
        emit(f'{op} {t}{{zd}}, p{{pg}}, {n}')
    emit(f'movprfx {z[:-2]}, p{{pg}}/z, {n}')
    out.append(f'add {out[-1].split()[1]} p0/m, {out[-1].split()[1]} z0.{t}')
    # Moves and permutes.
    for op in 'zip1 zip2 uzp1 uzp2 trn1 trn2'.split():
        emit(f'{op} {z}{nm}')
        emit(f'{op} p{{pd}}.{t}, p{{pn}}.{t}, p{{pm}}.{t}')
    emit(f'rev {z}{n}')
    emit(f'rev p{{pd}}.{t}, p{{pn}}.{t}')
    emit(f'tbl {z}<z{{zn}}.{t}>, z{{zm}}.{t}')
    for operands in (f'#1, #2', f'{w}{{xn}}, #2', f'#1, {w}{{xm}}',
                     f'{w}{{xn}}, {w}{{xm}}'):
        emit(f'index {z}{operands}')
    emit(f'mov {z}{w}{{xn}}')
    emit(f'mov {z}#5')
    emit(f'mov {z}{n}[1]')
    emit(f'mov {m}{w}{{xn}}')
    emit(f'mov {m}{t}{{zn}}')
    emit(f'mov {m}#5')
    emit(f'mov z{{zd}}.{t}, p{{pg}}/z, #5')
    emit(f'sel {z}p{{pn}}, {nm}')
    emit(f'insr {z}{w}{{xn}}')
    emit(f'insr {z}{t}{{zn}}')
    emit(f'splice {z}p{{pg}}, {same}{n}')
    for op in 'lasta lastb'.split():
        emit(f'{op} {w}{{xd}}, p{{pg}}, {n}')
        emit(f'{op} {t}{{zd}}, p{{pg}}, {n}')
    for op in 'clasta clastb'.split():
        emit(f'{op} {w}{{xd}}, p{{pg}}, {w}{{xd}}, {n}')
        emit(f'{op} {t}{{zd}}, p{{pg}}, {t}{{zd}}, {n}')
        emit(f'{op} {z}p{{pg}}, {same}{n}')


def predicates(t):
    p = f'p{{pd}}.{t}, '
    z = f'p{{pg}}/z, z{{zn}}.{t}, '
    for op in 'eq ne ge gt hi hs le lt lo ls'.split():
        emit(f'cmp{op} {p}{z}#3')
        if op in 'eq ne ge gt hi hs'.split():
            emit(f'cmp{op} {p}{z}z{{zm}}.{t}')
        if t != 'd':
            emit(f'cmp{op} {p}{z}z{{zm}}.d')
    for op in 'le lo ls lt'.split():
        emit(f'while{op} {p}x{{xn}}, x{{xm}}')
        emit(f'while{op} {p}w{{xn}}, w{{xm}}')
    emit(f'ptrue p{{pd}}.{t}')
    emit(f'ptrue {p}vl4')
    emit(f'ptrues p{{pd}}.{t}')
    emit(f'pnext {p}p{{pn}}, p{{pd}}.{t}')
    emit(f'cntp x{{xd}}, p{{pn}}, p{{pm}}.{t}')
    c = WIDTH[t]
    emit(f'cnt{c} x{{xd}}')
    emit(f'cnt{c} x{{xd}}, vl4')
    for op in 'inc dec sqinc sqdec uqinc uqdec'.split():
        emit(f'{op}{c} x{{xd}}')
        emit(f'{op}{c} x{{xd}}, all, mul #3')
        emit(f'{op}p x{{xd}}, p{{pm}}.{t}')
        if t != 'b':
            emit(f'{op}{c} z{{zd}}.{t}')
            emit(f'{op}p z{{zd}}.{t}, p{{pm}}')
        if op.startswith('u'):
            emit(f'{op}{c} w{{xd}}')
            emit(f'{op}p w{{xd}}, p{{pm}}.{t}')
        if op.startswith('s'):
            emit(f'{op}{c} x{{xd}}, w{{xd}}')
            emit(f'{op}p x{{xd}}, p{{pm}}.{t}, w{{xd}}')


def without_size():
    for op in 'and orr eor bic'.split():
        emit(f'{op} z{{zd}}.d, z{{zn}}.d, z{{zm}}.d')
    for op in 'and orr eor'.split():
        emit(f'{op} z{{zd}}.s, z{{zd}}.s, #0xf0')
    emit('dupm z{zd}.s, #0xf0')
    emit('ext z{zd}.b, z{zd}.b, z{zn}.b, #3')
    emit('mov z{zd}.s, wsp')
    emit('mov z{zd}.d, p{pg}/m, sp')
    for a, b in ('hb', 'sh', 'ds'):
        for op in 'sunpklo sunpkhi uunpklo uunpkhi'.split():
            emit(f'{op} z{{zd}}.{a}, z{{zn}}.{b}')
    for op in 'punpklo punpkhi'.split():
        emit(f'{op} p{{pd}}.h, p{{pn}}.b')
    for t, u, most in (('s', 'b', 7), ('d', 'h', 15)):
        for op in 'sdot udot'.split():
            emit(f'{op} z{{zd}}.{t}, z{{zn}}.{u}, z{{zm}}.{u}')
            for m in (5, most):
                emit(f'{op} z{{zd}}.{t}, z{{zn}}.{u}, z{m}.{u}[1]')
    for op in 'and orr eor bic orn nor nand'.split():
        for flags in ('', 's'):
            emit(f'{op}{flags} p{{pd}}.b, p{{pg}}/z, p{{pn}}.b, p{{pm}}.b')
            emit(f'{op}{flags} p{{pd}}.b, p{{pm}}/z, p{{pn}}.b, p{{pm}}.b')
    emit('sel p{pd}.b, p{pm}, p{pn}.b, p{pm}.b')
    emit('mov p{pd}.b, p{pn}.b')
    for op in 'brka brkas brkb brkbs'.split():
        emit(f'{op} p{{pd}}.b, p{{pm}}/z, p{{pn}}.b')
        if not op.endswith('s'):
            emit(f'{op} p{{pd}}.b, p{{pm}}/m, p{{pn}}.b')
    for op in 'brkpa brkpas brkpb brkpbs'.split():
        emit(f'{op} p{{pd}}.b, p{{pm}}/z, p{{pn}}.b, p{{pm}}.b')
    for op in 'brkn brkns'.split():
        emit(f'{op} p{{pd}}.b, p{{pm}}/z, p{{pn}}.b, p{{pd}}.b')
    emit('pfalse p{pd}.b')
    emit('ptest p{pm}, p{pn}.b')
    emit('pfirst p{pd}.b, p{pn}, p{pd}.b')
    emit('rdffr p{pd}.b')
    emit('rdffr p{pd}.b, p{pn}/z')
    emit('rdffrs p{pd}.b, p{pn}/z')
    emit('wrffr p{pn}.b')
    emit('setffr')
    for op in 'ctermeq ctermne'.split():
        emit(f'{op} x{{xn}}, x{{xm}}')
        emit(f'{op} w{{xn}}, w{{xm}}')
    emit('addvl x{xd}, x{xn}, #3')
    emit('addpl x{xd}, x{xn}, #-2')
    emit('addvl sp, sp, #-1')
    emit('addvl x{xd}, sp, #1')
    emit('rdvl x{xd}, #1')


def floating(t):
    m, same = f'z{{zd}}.{t}, p{{pg}}/m, ', f'z{{zd}}.{t}, '
    n, nm = f'z{{zn}}.{t}', f'z{{zn}}.{t}, z{{zm}}.{t}'
    for op in 'fadd fsub fmul frecps frsqrts ftsmul'.split():
        emit(f'{op} {same}{nm}')
    for op in ('fadd fsub fsubr fmul fdiv fdivr fmax fmin fmaxnm fminnm fabd '
               'fscale fmulx').split():
        emit(f'{op} {m}{same}{n}')
    for op, immediate in (('fadd', 1), ('fsub', 1), ('fsubr', .5), ('fmul', 2),
                          ('fmaxnm', 1), ('fminnm', 0), ('fmax', 1),
                          ('fmin', 0)):
        emit(f'{op} {m}{same}#{float(immediate)}')
    for op in 'fmla fmls fnmla fnmls fmad fmsb fnmad fnmsb'.split():
        emit(f'{op} {m}{nm}')
    for op in ('fabs fneg fsqrt frecpx frinta frinti frintm frintn frintp '
               'frintx frintz').split():
        emit(f'{op} {m}{n}')
    for op in 'frecpe frsqrte fexpa'.split():
        emit(f'{op} {same}{n}')
    for op in 'faddv fmaxv fminv fmaxnmv fminnmv'.split():
        emit(f'{op} {t}{{zd}}, p{{pg}}, {n}')
    emit(f'fadda {t}{{zd}}, p{{pg}}, {t}{{zd}}, {n}')
    for op in 'fcmeq fcmge fcmgt fcmne fcmuo facge facgt'.split():
        emit(f'{op} p{{pd}}.{t}, p{{pg}}/z, {nm}')
    for op in 'fcmeq fcmge fcmgt fcmne fcmle fcmlt'.split():
        emit(f'{op} p{{pd}}.{t}, p{{pg}}/z, {n}, #0.0')
    emit(f'fmov {same}#2.0')
    emit(f'fmov {m}#2.0')
    emit(f'fcadd {m}{same}{n}, #90')
    emit(f'fcmla {m}{nm}, #90')
    for op in 'fmul fmla fmls'.split():
        for register in (5, 15 if t == 'd' else 7):
            emit(f'{op} {same}{n}, z{register}.{t}[1]')
    for u in FLOATS:
        if u != t:
            emit(f'fcvt {m}z{{zn}}.{u}')
    for u in {'h': 'hsd', 's': 'sd', 'd': 'sd'}[t]:
        for op in 'fcvtzs fcvtzu'.split():
            emit(f'{op} z{{zd}}.{u}, p{{pg}}/m, {n}')
        for op in 'scvtf ucvtf'.split():
            emit(f'{op} {m}z{{zn}}.{u}')


def memory():
    for width, elements in (('b', 'bhsd'), ('h', 'hsd'), ('w', 'sd'),
                            ('d', 'd')):
        index = f'[x19, x21, lsl #{SHIFT[width]}]' if SHIFT[width] else \
            '[x19, x21]'
        for t in elements:
            whole = WIDTH[t] == width
            for sign in ('',) if whole else ('', 's'):
                name = f'{sign}{width} <z{{zd}}.{t}>, p{{pg}}'
                emit(f'ld1{name}/z, {index}')
                emit(f'ld1{name}/z, [x19]')
                emit(f'ld1{name}/z, [x19, #-2, mul vl]')
                out.append('setffr')
                emit(f'ldff1{name}/z, {index}')
                emit(f'ldnf1{name}/z, [x19, #-2, mul vl]')
                emit(f'ld1r{name}/z, [x19, #8]')
                if not sign:
                    emit(f'st1{name}, {index}')
                    emit(f'st1{name}, [x19]')
                    emit(f'st1{name}, [x19, #-2, mul vl]')
        t = elements[0]
        for n in (2, 3, 4):
            registers = ', '.join(f'z{29 + i}.{t}' if i < 3 else f'z0.{t}'
                                  for i in range(n))
            for op, zero in (('ld', '/z'), ('st', '')):
                name = f'{op}{n}{width} <{registers}>, p{{pg}}{zero}'
                emit(f'{name}, {index}')
                emit(f'{name}, [x19]')
                emit(f'{name}, [x19, #{-n}, mul vl]')
        emit(f'ld1rq{width} <z{{zd}}.{t}>, p{{pg}}/z, [x19, #16]')
        emit(f'ld1rq{width} <z{{zd}}.{t}>, p{{pg}}/z, {index}')
        emit(f'prf{width} pldl1keep, p{{pg}}, [x19, #1, mul vl]')
    for register in ('z{zd}', 'p{pd}'):
        for op in 'ldr str'.split():
            emit(f'{op} {register}, [x19]')
            emit(f'{op} {register}, [x19, #11, mul vl]')
            emit(f'{op} {register}, [x19, #-3, mul vl]')
    # A loop as compilers make it, in blocks of its own.
    out.extend(['mov x0, #0', 'mov x1, #13', 'cntw x2', 'whilelo p0.s, x0, x1',
                '1: ld1w {z0.s}, p0/z, [x19, x0, lsl #2]',
                'st1w {z0.s}, p0, [x19, x0, lsl #2]', 'incw x0',
                'whilelo p0.s, x0, x1', 'b.any 1b',
                'ld1w {z0.s}, p0/z, [x19, x0, lsl #2]',
                'mov w0, #-3', 'mov w1, #5', 'whilelt p1.d, w0, w1',
                'ld1d {z1.d}, p1/z, [x19]', 'whilele p1.b, w1, w0',
                'ld1b {z1.b}, p1/z, [x19]'])


for size in TYPES:
    integer(size)
    predicates(size)
without_size()
for size in FLOATS:
    floating(size)
memory()
print(coverage_program.text('armv8.2-a+sve',
                            '\n'.join(f' {line}' for line in out)))
