"""Writes the assembly of coverage.elf: every class of user-level A64
instruction that compilers and libraries use, once or more, with registers
chosen by a fixed seed.

    python3 coverage.py > coverage.S
    aarch64-linux-gnu-as coverage.S -o coverage.o
    aarch64-linux-gnu-ld coverage.o -o coverage.elf
    aarch64-linux-gnu-strip -s coverage.elf

coverage.pvt is gem5 21.2's trace of it (starter_se.py --cpu=timing, started as
../coverage.elf), imported without latencies. Left out is what that gem5 does
not know or dies of in system-call emulation: NOT_IN_GEM5.
"""
import random

import coverage_program

NOT_IN_GEM5 = {
    'csdb', 'bti c', 'hint #40', 'mrs x1, ctr_el0', 'mrs x1, cntvct_el0',
    'mrs x1, cntfrq_el0', 'pmull v18.1q, v16.1d, v8.1d',
    'pmull2 v18.1q, v15.2d, v16.2d'}
R=random.Random(7)
out=[]
def xr(): return R.choice([0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17])
def e(fmt,n=1):
    for _ in range(n):
        f=fmt
        for k in ('d','n','m','a'):
            f=f.replace('{%s}'%k,str(xr()))
        for k in ('vd','vn','vm','va'):
            f=f.replace('{%s}'%k,str(R.randrange(24)))
        out.append(f)
# integer, three registers
for w in 'wx':
    z=w+'zr'
    for op in 'add adds sub subs and ands orr eor bic bics orn eon'.split():
        e(f'{op} {w}{{d}}, {w}{{n}}, {w}{{m}}')
        e(f'{op} {w}{{d}}, {w}{{n}}, {w}{{m}}, lsl #3')
        e(f'{op} {w}{{d}}, {w}{{n}}, {w}{{m}}, lsr #5')
        e(f'{op} {w}{{d}}, {w}{{n}}, {w}{{m}}, asr #7')
        e(f'{op} {z}, {w}{{n}}, {w}{{m}}'); e(f'{op} {w}{{d}}, {z}, {w}{{m}}'); e(f'{op} {w}{{d}}, {w}{{n}}, {z}')
        if op in 'and ands orr eor bic bics orn eon'.split(): e(f'{op} {w}{{d}}, {w}{{n}}, {w}{{m}}, ror #9')
    for op in 'add adds sub subs'.split():
        for ext in 'uxtb uxth uxtw sxtb sxth sxtw'.split(): e(f'{op} {w}{{d}}, {w}{{n}}, w{{m}}, {ext} #2')
        e(f'{op} {w}{{d}}, {w}{{n}}, #17'); e(f'{op} {w}{{d}}, {w}{{n}}, #2, lsl #12')
    for op in 'ands'.split(): e(f'{op} {z}, {w}{{n}}, #0xff')
    for op in 'adds subs'.split(): e(f'{op} {z}, {w}{{n}}, #0xff')
    for op in 'and ands orr eor'.split(): e(f'{op} {w}{{d}}, {w}{{n}}, #0xf0')
    for op in 'adc adcs sbc sbcs lslv lsrv asrv rorv udiv sdiv'.split():
        e(f'{op} {w}{{d}}, {w}{{n}}, {w}{{m}}',2); e(f'{op} {w}{{d}}, {z}, {w}{{m}}'); e(f'{op} {w}{{d}}, {w}{{n}}, {z}')
    for op in 'madd msub'.split():
        e(f'{op} {w}{{d}}, {w}{{n}}, {w}{{m}}, {w}{{a}}',2); e(f'{op} {w}{{d}}, {w}{{n}}, {w}{{m}}, {z}')
    for op in 'csel csinc csinv csneg'.split():
        for c in 'eq ne cs cc mi pl vs vc hi ls ge lt gt le al'.split():
            e(f'{op} {w}{{d}}, {w}{{n}}, {w}{{m}}, {c}')
        e(f'{op} {w}{{d}}, {z}, {z}, eq')
    for op in 'ccmp ccmn'.split():
        e(f'{op} {w}{{n}}, {w}{{m}}, #3, ne'); e(f'{op} {w}{{n}}, #7, #3, hi'); e(f'{op} {z}, {w}{{m}}, #3, al')
    e(f'extr {w}{{d}}, {w}{{n}}, {w}{{m}}, #9'); e(f'extr {w}1, {w}2, {w}2, #9')
    for op in 'clz cls rbit rev rev16'.split(): e(f'{op} {w}{{d}}, {w}{{n}}'); e(f'{op} {w}{{d}}, {z}')
    for op in 'sbfm bfm ubfm'.split(): e(f'{op} {w}{{d}}, {w}{{n}}, #3, #9'); e(f'{op} {w}{{d}}, {w}{{n}}, #9, #3')
    for op in 'movz movn movk'.split(): e(f'{op} {w}{{d}}, #77'); e(f'{op} {w}{{d}}, #77, lsl #16')
e('rev32 x{d}, x{n}'); e('movz x{d}, #3, lsl #48')
for op in 'smaddl smsubl umaddl umsubl'.split(): e(f'{op} x{{d}}, w{{n}}, w{{m}}, x{{a}}'); e(f'{op} x{{d}}, w{{n}}, w{{m}}, xzr')
for op in 'smulh umulh'.split(): e(f'{op} x{{d}}, x{{n}}, x{{m}}')
for s in 'b h w'.split():
    e(f'crc32{s} w{{d}}, w{{n}}, w{{m}}'); e(f'crc32c{s} w{{d}}, w{{n}}, w{{m}}')
e('crc32x w{d}, w{n}, x{m}'); e('crc32cx w{d}, w{n}, x{m}')
for op in 'add sub'.split():
    e(f'{op} x{{d}}, sp, #16'); e(f'{op} x{{d}}, sp, x{{m}}, uxtx #1'); e(f'{op}s x{{d}}, sp, x{{m}}'); e(f'{op}s xzr, sp, #1')
out += ['mov x18, sp','sub sp, sp, #64','add sp, sp, #64','mov sp, x18','and sp, x18, #0xfffffffffffffff0','mov sp, x18','orr x3, xzr, #1','mov w3, w4']
e('adr x{d}, .'); e('adrp x{d}, .')
out += ['nop','yield','sevl','bti c','paciasp','autiasp','csdb','hint #40','dmb ish','dmb ishld','dmb ishst','dmb sy','dsb ish','dsb sy','isb']
out += ['mrs x1, fpcr','msr fpcr, x1','mrs x1, fpsr','msr fpsr, x1','mrs x1, tpidr_el0','msr tpidr_el0, x1','mrs x1, tpidrro_el0','mrs x1, ctr_el0','mrs x1, dczid_el0','mrs x1, nzcv','msr nzcv, x1','mrs x1, cntvct_el0','mrs x1, cntfrq_el0']
# memory; x19 buffer, x20 scratch base, x21 offset
def mem(fmt):
    for line in fmt.split('\n'):
        out.append('mov x20, x19'); e(line)
idx=['[x20]','[x20, #16]','[x20, #-16]!','[x20], #16','[x20, x21]','[x20, w22, uxtw]','[x20, w22, sxtw]']
SCALE={'b':0,'h':1,'w':2,'x':3,'s':2,'d':3,'q':4}
def regidx(sz): return [f'[x20, x21, lsl #{sz}]',f'[x20, w22, uxtw #{sz}]',f'[x20, w22, sxtw #{sz}]'] if sz else []
for i in idx+regidx(2): mem(f'ldr w{{d}}, {i}'); mem(f'str w{{d}}, {i}'); mem(f'ldrsw x{{d}}, {i}'); mem(f'ldr s{{vd}}, {i}'); mem(f'str s{{vd}}, {i}')
for i in idx+regidx(3): mem(f'ldr x{{d}}, {i}'); mem(f'str x{{d}}, {i}'); mem(f'ldr d{{vd}}, {i}'); mem(f'str d{{vd}}, {i}')
for i in idx+regidx(1):
    for op in ('ldrh w','strh w','ldrsh w','ldrsh x','ldr h','str h'): mem(f'{op}{{d}}, {i}')
for i in idx:
    for op in ('ldrb w','strb w','ldrsb w','ldrsb x','ldr b','str b'): mem(f'{op}{{d}}, {i}')
for i in idx+regidx(4): mem(f'ldr q{{vd}}, {i}'); mem(f'str q{{vd}}, {i}')
for op in 'ldur stur'.split():
    for r in 'wxbhsdq': mem(f'{op} {r}{{d}}, [x20, #5]' if r!='q' else f'{op} {r}{{d}}, [x20, #7]')
for op in ('ldurb w','sturb w','ldurh w','sturh w','ldursb w','ldursb x','ldursh w','ldursh x','ldursw x'): mem(f'{op}{{d}}, [x20, #3]')
for op in ('ldtr w','sttr x'): mem(f'{op}{{d}}, [x20, #3]')
for r in ('w','x','s','d','q'):
    k=16 if r=='q' else 8
    for i in ('[x20]',f'[x20, #{2*k}]',f'[x20, #-{k}]!',f'[x20], #{k}','[sp]'):
        mem(f'ldp {r}2, {r}3, {i}'); mem(f'stp {r}5, {r}4, {i}'); 
    mem(f'ldnp {r}2, {r}3, [x20]'); mem(f'stnp {r}2, {r}3, [x20]')
for i in ('[x20]','[x20, #-8]!','[x20], #8'): mem(f'ldpsw x2, x3, {i}')
mem('stp wzr, wzr, [x20]'); mem('stp xzr, x1, [x20]'); mem('str xzr, [x20]'); mem('str wzr, [x20], #8')
mem('ldp x20, x3, [x20]'); mem('ldp x3, x20, [x20]'); mem('ldp x20, x3, [x20, #16]'); mem('ldr x20, [x20]'); mem('ldp w20, w3, [x20]')
for r in ('w','x','s','d','q'): e(f'ldr {r}{{d}}, lit_pool')
e('ldrsw x{d}, lit_pool')
mem('prfm pldl1keep, [x20]'); mem('prfm pstl1keep, [x20, #64]'); mem('prfm pldl2strm, [x20, x21]'); mem('prfum pldl1keep, [x20, #3]'); e('prfm pldl1keep, lit_pool'); mem('prfm pldl1strm, [x20, w22, sxtw #3]')
mem('dc zva, x20')
# exclusives, acquire-release
for s,r in (('','w'),('','x'),('b','w'),('h','w')):
    for l,t in (('ldxr','stxr'),('ldaxr','stlxr')):
        mem(f'{l}{s} {r}2, [x20]'); e(f'{t}{s} w4, {r}3, [x20]')
    mem(f'ldar{s} {r}2, [x20]'); mem(f'stlr{s} {r}2, [x20]'); mem(f'ldapr{s} {r}2, [x20]')
for r in 'wx':
    for l,t in (('ldxp','stxp'),('ldaxp','stlxp')):
        mem(f'{l} {r}2, {r}3, [x20]'); e(f'{t} w4, {r}5, {r}6, [x20]')
out.append('clrex')
# atomics
for a in ('','a','l','al'):
    for s,r in (('','w'),('','x'),('b','w'),('h','w')):
        for op in 'ldadd ldclr ldeor ldset ldsmax ldsmin ldumax ldumin swp cas'.split():
            mem(f'{op}{a}{s} {r}2, {r}3, [x20]')
        if a in ('','l'):
            for op in 'stadd stclr steor stset stsmax stsmin stumax stumin'.split(): mem(f'{op}{a}{s} {r}2, [x20]')
    for r in 'wx': mem(f'casp{a} {r}2, {r}3, {r}4, {r}5, [x20]')
# floating point
for t in 'hsd':
    if t=='h': continue
    for op in 'fadd fsub fmul fdiv fnmul fmax fmin fmaxnm fminnm'.split(): e(f'{op} {t}{{vd}}, {t}{{vn}}, {t}{{vm}}')
    for op in 'fmadd fmsub fnmadd fnmsub'.split(): e(f'{op} {t}{{vd}}, {t}{{vn}}, {t}{{vm}}, {t}{{va}}')
    for op in 'fmov fabs fneg fsqrt frintn frintp frintm frintz frinta frintx frinti'.split(): e(f'{op} {t}{{vd}}, {t}{{vn}}')
    for op in 'fcmp fcmpe'.split(): e(f'{op} {t}{{vn}}, {t}{{vm}}'); e(f'{op} {t}{{vn}}, #0.0')
    for op in 'fccmp fccmpe'.split(): e(f'{op} {t}{{vn}}, {t}{{vm}}, #1, gt'); e(f'{op} {t}{{vn}}, {t}{{vm}}, #1, al')
    for c in 'eq hi ge al'.split(): e(f'fcsel {t}{{vd}}, {t}{{vn}}, {t}{{vm}}, {c}')
    e(f'fmov {t}{{vd}}, #2.5')
    for r in 'wx':
        for op in 'fcvtns fcvtnu fcvtps fcvtpu fcvtms fcvtmu fcvtzs fcvtzu fcvtas fcvtau'.split(): e(f'{op} {r}{{d}}, {t}{{vn}}')
        for op in 'fcvtzs fcvtzu'.split(): e(f'{op} {r}{{d}}, {t}{{vn}}, #5')
        for op in 'scvtf ucvtf'.split(): e(f'{op} {t}{{vd}}, {r}{{n}}'); e(f'{op} {t}{{vd}}, {r}{{n}}, #5')
e('fcvt d{vd}, s{vn}'); e('fcvt s{vd}, d{vn}'); e('fcvt h{vd}, s{vn}'); e('fcvt h{vd}, d{vn}'); e('fcvt s{vd}, h{vn}'); e('fcvt d{vd}, h{vn}')
e('fmov w{d}, s{vn}'); e('fmov s{vd}, w{n}'); e('fmov x{d}, d{vn}'); e('fmov d{vd}, x{n}'); e('fmov x{d}, v{vn}.d[1]'); e('fmov v{vd}.d[1], x{n}'); e('fmov s{vd}, wzr')
# SIMD
INT=['8b','16b','4h','8h','2s','4s','2d']
def three(op,types):
    for t in types: e(f'{op} v{{vd}}.{t}, v{{vn}}.{t}, v{{vm}}.{t}')
def two(op,types,tail=''):
    for t in types: e(f'{op} v{{vd}}.{t}, v{{vn}}.{t}{tail}')
for op in 'add sub cmeq cmge cmgt cmhi cmhs cmtst addp sshl ushl srshl urshl sqadd uqadd sqsub uqsub sqshl uqshl sqrshl uqrshl'.split(): three(op,INT)
for op in 'mul mla mls smax smin umax umin smaxp sminp umaxp uminp shadd uhadd shsub uhsub srhadd urhadd saba uaba sabd uabd'.split(): three(op,INT[:-1])
for op in 'sqdmulh sqrdmulh'.split(): three(op,['4h','8h','2s','4s'])
for op in 'and orr eor bic orn bsl bit bif pmul'.split(): three(op,['8b','16b'])
for op in 'zip1 zip2 uzp1 uzp2 trn1 trn2'.split(): three(op,INT)
F=['2s','4s','2d']
for op in 'fadd fsub fmul fdiv fmla fmls fmax fmin fmaxnm fminnm faddp fmaxp fminp fmaxnmp fminnmp fabd fcmeq fcmge fcmgt facge facgt fmulx frecps frsqrts'.split(): three(op,F)
for op in 'abs neg sqabs sqneg suqadd usqadd'.split(): two(op,INT)
for op in 'cls clz'.split(): two(op,INT[:-1])
for op in 'cnt not rbit rev16'.split(): two(op,['8b','16b'])
two('rev32',['8b','16b','4h','8h']); two('rev64',INT[:-1])
for op in 'cmeq cmge cmgt cmle cmlt'.split(): two(op,INT,', #0')
for op in 'fcmeq fcmge fcmgt fcmle fcmlt'.split(): two(op,F,', #0.0')
for op in 'fabs fneg fsqrt frintn frintp frintm frintz frinta frintx frinti frecpe frsqrte fcvtns fcvtnu fcvtps fcvtpu fcvtms fcvtmu fcvtzs fcvtzu fcvtas fcvtau scvtf ucvtf'.split(): two(op,F)
for op in 'scvtf ucvtf fcvtzs fcvtzu'.split(): two(op,F,', #3')
two('urecpe',['2s','4s']); two('ursqrte',['2s','4s'])
for op in 'sshr ushr srshr urshr ssra usra srsra ursra sri shl sli sqshl uqshl sqshlu'.split(): two(op,INT,', #3')
W=[('8h','8b','16b'),('4s','4h','8h'),('2d','2s','4s')]
for op in 'saddl uaddl ssubl usubl sabal uabal sabdl uabdl smlal umlal smlsl umlsl smull umull'.split():
    for a,b,c in W: e(f'{op} v{{vd}}.{a}, v{{vn}}.{b}, v{{vm}}.{b}'); e(f'{op}2 v{{vd}}.{a}, v{{vn}}.{c}, v{{vm}}.{c}')
for op in 'sqdmlal sqdmlsl sqdmull'.split():
    for a,b,c in W[1:]: e(f'{op} v{{vd}}.{a}, v{{vn}}.{b}, v{{vm}}.{b}'); e(f'{op}2 v{{vd}}.{a}, v{{vn}}.{c}, v{{vm}}.{c}')
for op in 'saddw uaddw ssubw usubw'.split():
    for a,b,c in W: e(f'{op} v{{vd}}.{a}, v{{vn}}.{a}, v{{vm}}.{b}'); e(f'{op}2 v{{vd}}.{a}, v{{vn}}.{a}, v{{vm}}.{c}')
for op in 'addhn subhn raddhn rsubhn'.split():
    for a,b,c in W: e(f'{op} v{{vd}}.{b}, v{{vn}}.{a}, v{{vm}}.{a}'); e(f'{op}2 v{{vd}}.{c}, v{{vn}}.{a}, v{{vm}}.{a}')
for op in 'xtn sqxtn uqxtn sqxtun'.split():
    for a,b,c in W: e(f'{op} v{{vd}}.{b}, v{{vn}}.{a}'); e(f'{op}2 v{{vd}}.{c}, v{{vn}}.{a}')
for op in 'shrn rshrn sqshrn uqshrn sqrshrn uqrshrn sqshrun sqrshrun'.split():
    for a,b,c in W: e(f'{op} v{{vd}}.{b}, v{{vn}}.{a}, #3'); e(f'{op}2 v{{vd}}.{c}, v{{vn}}.{a}, #3')
for op in 'sshll ushll'.split():
    for a,b,c in W: e(f'{op} v{{vd}}.{a}, v{{vn}}.{b}, #3'); e(f'{op}2 v{{vd}}.{a}, v{{vn}}.{c}, #3')
for (a,b,c),k in zip(W,(8,16,32)): e(f'shll v{{vd}}.{a}, v{{vn}}.{b}, #{k}'); e(f'shll2 v{{vd}}.{a}, v{{vn}}.{c}, #{k}')
e('pmull v{vd}.8h, v{vn}.8b, v{vm}.8b'); e('pmull2 v{vd}.8h, v{vn}.16b, v{vm}.16b'); e('pmull v{vd}.1q, v{vn}.1d, v{vm}.1d'); e('pmull2 v{vd}.1q, v{vn}.2d, v{vm}.2d')
e('fcvtl v{vd}.2d, v{vn}.2s'); e('fcvtl2 v{vd}.2d, v{vn}.4s'); e('fcvtn v{vd}.2s, v{vn}.2d'); e('fcvtn2 v{vd}.4s, v{vn}.2d'); e('fcvtxn v{vd}.2s, v{vn}.2d'); e('fcvtl v{vd}.4s, v{vn}.4h'); e('fcvtn v{vd}.4h, v{vn}.4s')
for op in 'saddlp uaddlp sadalp uadalp'.split():
    for a,b in (('4h','8b'),('8h','16b'),('2s','4h'),('4s','8h'),('1d','2s'),('2d','4s')): e(f'{op} v{{vd}}.{a}, v{{vn}}.{b}')
for s,t in (('b','8b'),('b','16b'),('h','4h'),('h','8h'),('s','4s')):
    for op in 'addv smaxv sminv umaxv uminv'.split(): e(f'{op} {s}{{vd}}, v{{vn}}.{t}')
for s,t in (('h','8b'),('h','16b'),('s','4h'),('s','8h'),('d','4s')):
    for op in 'saddlv uaddlv'.split(): e(f'{op} {s}{{vd}}, v{{vn}}.{t}')
for op in 'fmaxv fminv fmaxnmv fminnmv'.split(): e(f'{op} s{{vd}}, v{{vn}}.4s')
for op in 'faddp fmaxp fminp fmaxnmp fminnmp'.split(): e(f'{op} s{{vd}}, v{{vn}}.2s'); e(f'{op} d{{vd}}, v{{vn}}.2d')
e('addp d{vd}, v{vn}.2d')
# by element
for t,s in (('4h','h'),('8h','h'),('2s','s'),('4s','s')):
    for op in 'mul mla mls sqdmulh sqrdmulh'.split(): e(f'{op} v{{vd}}.{t}, v{{vn}}.{t}, v5.{s}[1]')
for t,s in (('2s','s'),('4s','s'),('2d','d')):
    for op in 'fmul fmla fmls fmulx'.split(): e(f'{op} v{{vd}}.{t}, v{{vn}}.{t}, v15.{s}[1]')
for op in 'fmul fmla fmls fmulx'.split(): e(f'{op} s{{vd}}, s{{vn}}, v21.s[3]'); e(f'{op} d{{vd}}, d{{vn}}, v21.d[1]')
for op in 'smlal umlal smlsl umlsl smull umull sqdmlal sqdmlsl sqdmull'.split():
    for (a,b,c),s in zip(W[1:],'hs'): e(f'{op} v{{vd}}.{a}, v{{vn}}.{b}, v5.{s}[1]'); e(f'{op}2 v{{vd}}.{a}, v{{vn}}.{c}, v15.{s}[1]')
# scalar SIMD
for op in 'add sub cmeq cmge cmgt cmhi cmhs cmtst sshl ushl srshl urshl'.split(): e(f'{op} d{{vd}}, d{{vn}}, d{{vm}}')
for op in 'sqadd uqadd sqsub uqsub sqshl uqshl sqrshl uqrshl'.split():
    for s in 'bhsd': e(f'{op} {s}{{vd}}, {s}{{vn}}, {s}{{vm}}')
for op in 'sqdmulh sqrdmulh'.split():
    for s in 'hs': e(f'{op} {s}{{vd}}, {s}{{vn}}, {s}{{vm}}'); e(f'{op} {s}{{vd}}, {s}{{vn}}, v3.{s}[1]')
for op in 'fabd fcmeq fcmge fcmgt facge facgt fmulx frecps frsqrts'.split():
    for s in 'sd': e(f'{op} {s}{{vd}}, {s}{{vn}}, {s}{{vm}}')
for op in 'abs neg'.split(): e(f'{op} d{{vd}}, d{{vn}}')
for op in 'cmeq cmge cmgt cmle cmlt'.split(): e(f'{op} d{{vd}}, d{{vn}}, #0')
for op in 'sqabs sqneg suqadd usqadd'.split():
    for s in 'bhsd': e(f'{op} {s}{{vd}}, {s}{{vn}}')
for op in 'fcmeq fcmge fcmgt fcmle fcmlt'.split():
    for s in 'sd': e(f'{op} {s}{{vd}}, {s}{{vn}}, #0.0')
for op in 'frecpe frecpx frsqrte fcvtns fcvtnu fcvtps fcvtpu fcvtms fcvtmu fcvtzs fcvtzu fcvtas fcvtau scvtf ucvtf'.split():
    for s in 'sd': e(f'{op} {s}{{vd}}, {s}{{vn}}')
for op in 'scvtf ucvtf fcvtzs fcvtzu'.split():
    for s in 'sd': e(f'{op} {s}{{vd}}, {s}{{vn}}, #4')
e('fcvtxn s{vd}, d{vn}')
for op in 'sshr ushr srshr urshr ssra usra srsra ursra sri shl sli'.split(): e(f'{op} d{{vd}}, d{{vn}}, #4')
for op in 'sqshl uqshl sqshlu'.split():
    for s in 'bhsd': e(f'{op} {s}{{vd}}, {s}{{vn}}, #4')
for op in 'sqxtn uqxtn sqxtun'.split():
    for a,b in ('bh','hs','sd'): e(f'{op} {a}{{vd}}, {b}{{vn}}')
for op in 'sqshrn uqshrn sqrshrn uqrshrn sqshrun sqrshrun'.split():
    for a,b in ('bh','hs','sd'): e(f'{op} {a}{{vd}}, {b}{{vn}}, #3')
for op in 'sqdmlal sqdmlsl sqdmull'.split():
    for a,b in ('sh','ds'): e(f'{op} {a}{{vd}}, {b}{{vn}}, {b}{{vm}}'); e(f'{op} {a}{{vd}}, {b}{{vn}}, v3.{b}[1]')
# moves, permutes, immediates
for t,s,r in (('8b','b','w'),('16b','b','w'),('4h','h','w'),('8h','h','w'),('2s','s','w'),('4s','s','w'),('2d','d','x')):
    e(f'dup v{{vd}}.{t}, v{{vn}}.{s}[1]'); e(f'dup v{{vd}}.{t}, {r}{{n}}')
for s in 'bhsd':
    e(f'mov {s}{{vd}}, v{{vn}}.{s}[1]'); e(f'ins v{{vd}}.{s}[1], v{{vn}}.{s}[0]'); e(f'ins v{{vd}}.{s}[1], {"x" if s=="d" else "w"}{{n}}')
for s in 'bh': e(f'smov w{{d}}, v{{vn}}.{s}[1]'); e(f'smov x{{d}}, v{{vn}}.{s}[1]'); e(f'umov w{{d}}, v{{vn}}.{s}[1]')
e('smov x{d}, v{vn}.s[1]'); e('umov w{d}, v{vn}.s[1]'); e('umov x{d}, v{vn}.d[1]')
e('ext v{vd}.8b, v{vn}.8b, v{vm}.8b, #3'); e('ext v{vd}.16b, v{vn}.16b, v{vm}.16b, #3')
for n,l in ((1,'{v2.16b}'),(2,'{v2.16b,v3.16b}'),(3,'{v2.16b,v3.16b,v4.16b}'),(4,'{v2.16b,v3.16b,v4.16b,v5.16b}')):
    for t in ('8b','16b'): e(f'tbl v{{vd}}.{t}, {l}, v{{vm}}.{t}'); e(f'tbx v{{vd}}.{t}, {l}, v{{vm}}.{t}')
for t in ('8b','16b'): e(f'movi v{{vd}}.{t}, #7')
for t in ('4h','8h','2s','4s'):
    for op in 'movi mvni orr bic'.split(): e(f'{op} v{{vd}}.{t}, #7'); e(f'{op} v{{vd}}.{t}, #7, lsl #8')
for t in ('2s','4s'):
    for op in 'movi mvni'.split(): e(f'{op} v{{vd}}.{t}, #7, msl #8')
e('movi d{vd}, #0xff00ff'); e('movi v{vd}.2d, #0xff00ff'); e('fmov v{vd}.2s, #1.5'); e('fmov v{vd}.4s, #1.5'); e('fmov v{vd}.2d, #1.5')
# crypto
for op in 'aese aesd aesmc aesimc'.split(): e(f'{op} v{{vd}}.16b, v{{vn}}.16b')
for op in 'sha1c sha1p sha1m'.split(): e(f'{op} q{{vd}}, s{{vn}}, v{{vm}}.4s')
for op in 'sha256h sha256h2'.split(): e(f'{op} q{{vd}}, q{{vn}}, v{{vm}}.4s')
for op in 'sha1su0 sha256su1'.split(): e(f'{op} v{{vd}}.4s, v{{vn}}.4s, v{{vm}}.4s')
for op in 'sha1su1 sha256su0'.split(): e(f'{op} v{{vd}}.4s, v{{vn}}.4s')
e('sha1h s{vd}, s{vn}')
# SIMD memory
for n in (1,2,3,4):
    for regs in ((1,2,3,4) if n==1 else (n,)):
        for t in ('8b','16b','4h','8h','2s','4s','1d','2d'):
            if n>1 and t=='1d': continue
            l='{'+', '.join(f'v{2+i}.{t}' for i in range(regs))+'}'
            b=regs*(8 if t in ('8b','4h','2s','1d') else 16)
            for op in ('ld','st'):
                mem(f'{op}{n} {l}, [x20]')
                if t in ('8b','4s','2d'): mem(f'{op}{n} {l}, [x20], #{b}'); mem(f'{op}{n} {l}, [x20], x21')
    for s,k in (('b',1),('h',2),('s',4),('d',8)):
        l='{'+', '.join(f'v{2+i}.{s}' for i in range(n))+'}[1]'
        for op in ('ld','st'):
            mem(f'{op}{n} {l}, [x20]'); mem(f'{op}{n} {l}, [x20], #{n*k}'); mem(f'{op}{n} {l}, [x20], x21')
    for t,k in (('8b',1),('16b',1),('4h',2),('8h',2),('2s',4),('4s',4),('1d',8),('2d',8)):
        l='{'+', '.join(f'v{2+i}.{t}' for i in range(n))+'}'
        mem(f'ld{n}r {l}, [x20]'); mem(f'ld{n}r {l}, [x20], #{n*k}'); mem(f'ld{n}r {l}, [x20], x21')
for l in ['add xzr, x1, x2','and xzr, x1, x2','bic xzr, x1, x2','orr xzr, x1, x2','eon wzr, w1, w2','adds xzr, x1, x2','bics xzr, x1, x2','adcs xzr, x1, x2','sbcs xzr, x1, x2','adc xzr, x1, x2','sbc wzr, w1, w2','lslv wzr, w1, w2','udiv xzr, x1, x2','madd xzr, x1, x2, x3','smulh xzr, x1, x2','umaddl xzr, w1, w2, x3','csel xzr, x1, x2, eq','csinc wzr, w1, w2, ne','clz xzr, x1','rbit wzr, w1','rev xzr, x1','ubfm xzr, x1, #3, #9','sbfm wzr, w1, #3, #9','bfm xzr, x1, #3, #9','extr xzr, x1, x2, #4','movz xzr, #5','movn wzr, #5','movk xzr, #5','adr xzr, .','adrp xzr, .','mrs xzr, fpcr','msr fpcr, xzr','msr tpidr_el0, xzr','mrs xzr, nzcv','msr nzcv, xzr','fmov xzr, d0','fmov wzr, s0','fcvtzs wzr, s0','umov wzr, v1.s[1]','smov xzr, v1.h[1]','crc32w wzr, w1, w2','scvtf d0, xzr','dup v1.4s, wzr','ins v1.s[1], wzr','add wzr, w1, w2, uxtb','and xzr, x1, #0xf0','adds xzr, x1, #3','ands xzr, x1, x2','mov w1, wzr','sbfm xzr, xzr, #1, #2','extr x1, xzr, xzr, #3']: e(l.replace('add wzr, w1, w2, uxtb','adds wzr, w1, w2, uxtb').replace('and xzr, x1, #0xf0','ands xzr, x1, #0xf0'))
for l in ['ldr xzr, [x20]','ldr wzr, [x20, x21]','ldrb wzr, [x20]','ldrsw xzr, [x20], #4','ldp xzr, x1, [x20]','ldp w1, wzr, [x20], #8','ldpsw xzr, x1, [x20]','ldxr wzr, [x20]','stxr w7, xzr, [x20]','ldar wzr, [x20]','ldaxp xzr, x2, [x20]','stlr wzr, [x20]','swp w2, wzr, [x20]','swp wzr, w2, [x20]','cas wzr, w3, [x20]','cas w2, wzr, [x20]','str xzr, [x20, x21]','strb wzr, [x20], #1','stp wzr, w1, [x20, #-8]!','stur xzr, [x20, #3]','ldtrb wzr, [x20]']: mem(l)
e('ldr xzr, lit_pool'); e('stxr wzr, w1, [x20]')
out += ['mov x18, sp','ldr x1, [sp]','str x1, [sp, #-16]!','ldr x1, [sp], #16','ldr x2, [sp, x21]','ldr q2, [sp]','str q2, [sp, #-16]!','ldr q3, [sp], #16','ldxr w2, [sp]','stxr w3, w2, [sp]','ldar x2, [sp]','stlr x2, [sp]','ldadd w2, w3, [sp]','cas w2, w3, [sp]','ld1 {v2.16b}, [sp]','st1 {v2.16b}, [sp]','ld1 {v2.s}[1], [sp]','prfm pldl1keep, [sp]','mov sp, x18']
body=[l for l in out if l not in NOT_IN_GEM5]
br='''
 cbz x0, 1f
1: cbnz w0, 1f
1: tbz x0, #5, 1f
1: tbnz w0, #3, 1f
1: b 1f
1: bl f1
 adr x9, f1
 blr x9
 adr x9, 1f
 br x9
1: '''+'\n'.join(f' b.{c} 1f\n1:' for c in 'eq ne cs cc mi pl vs vc hi ls ge lt gt le al'.split())+'''
'''
half=len(body)//2
print(coverage_program.text('armv8.3-a+crypto+crc+sve', ''' mov x20, x19
 mov x21, #16
 mov x22, #8
'''+br+'\n'.join(' '+l for l in body[:half])+'\n b 1f\n .p2align 4\nlit_pool: .quad 1,2,3,4\n1:\n'+'\n'.join(' '+l for l in body[half:]), 'f1: ret\n'))
