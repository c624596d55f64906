#include "client/tracer/arm_memory.h"

namespace perfvec::tracer {
namespace {

using trace::kAtomic;
using trace::kMicroOp;
using trace::kReadBarrier;
using trace::kStoreConditional;
using trace::kWriteBarrier;
using trace::Register;

constexpr int kIntAlu = 1;
constexpr uint16_t kSevMailbox = 29;
constexpr uint16_t kLockFlag = 20;

void AddFpEnabled(trace::StaticInstruction* instruction) {
  AddSource(kMiscRegister, kCpsr, instruction);
  AddSource(kMiscRegister, kCpacr, instruction);
}

void Source(Register r, trace::StaticInstruction* instruction) {
  AddSource(r.register_class, r.index, instruction);
}

void Destination(Register r, trace::StaticInstruction* instruction) {
  AddDestination(r.register_class, r.index, instruction);
}

// LDR, STR and relatives with one register. `index` is nullptr or the
// register offset; `update`: pre- or post-indexed.
void Single(bool vector, bool load, uint32_t bytes, Register base,
            const Register* index, bool update, Register data, MacroOp* op) {
  // gem5 cracks what writes back and what moves 16 bytes, but for loads with
  // a register offset.
  const bool cracked = update || (bytes == 16 && (!load || index == nullptr));
  const int parts = bytes == 16 && !load ? 2 : 1;
  for (int part = 0; part < parts; ++part) {
    auto* access =
        AddAccess(!load, cracked ? uint32_t{kMicroOp} : 0, bytes / parts,
                  part * static_cast<int>(bytes / parts), {base}, {}, op);
    if (vector) AddFpEnabled(access);
    if (index != nullptr) Source(*index, access);
    if (load) {
      Destination(data, access);
    } else {
      Source(data, access);
    }
  }
  if (update) AddAddition(base, base, op);
}

void Prefetch(uint32_t word, MacroOp* op) {
  const uint32_t n = Bits(word, 9, 5);
  op->name = "prfm";
  op->access = Access::kHidden;
  op->hidden.base = n;
  if (Bits(word, 31, 24) == 0xd8) {
    AddAccess(false, 0, 8, 0, {}, {}, op);
    op->hidden.pc_relative = true;
    op->hidden.offset = SignedBits(word, 23, 5) * 4;
    return;
  }
  auto* access = AddAccess(false, 0, 8, 0, {XOrStackPointer(n)}, {}, op);
  if (Bits(word, 24, 24)) {
    op->hidden.offset = Bits(word, 21, 10) * 8;
  } else if (Bits(word, 21, 21)) {
    op->hidden.index = Bits(word, 20, 16);
    op->hidden.extend = Bits(word, 15, 13);
    op->hidden.shift = Bits(word, 12, 12) ? 3 : 0;
    Source(X(Bits(word, 20, 16)), access);
  } else {
    op->hidden.offset = SignedBits(word, 20, 12);
  }
}

bool LoadStoreRegister(uint32_t word, MacroOp* op) {
  const uint32_t size = Bits(word, 31, 30);
  const bool vector = Bits(word, 26, 26);
  const uint32_t opc = Bits(word, 23, 22);
  const bool scaled = Bits(word, 24, 24);
  const bool register_form = !scaled && Bits(word, 21, 21);
  const uint32_t mode = Bits(word, 11, 10);
  if (register_form && mode != 2) return false;
  uint32_t bytes = 1u << size;
  bool load = opc != 0;
  if (vector) {
    if (opc >= 2) {
      if (size != 0) return false;
      bytes = 16;
    }
    load = opc & 1;
  } else if (size == 3 && opc == 2) {
    if (!scaled && !register_form && mode != 0) return false;
    Prefetch(word, op);
    return true;
  } else if (size == 3 && opc == 3) {
    return false;
  } else if (size == 2 && opc == 3) {
    return false;
  }
  const Register base = XOrStackPointer(Bits(word, 9, 5));
  const Register index = X(Bits(word, 20, 16));
  const uint32_t t = Bits(word, 4, 0);
  op->name = load ? "ldr" : "str";
  Single(vector, load, bytes, base, register_form ? &index : nullptr,
         !scaled && !register_form && (mode & 1), vector ? V(t) : X(t), op);
  return true;
}

bool LoadLiteral(uint32_t word, MacroOp* op) {
  const uint32_t opc = Bits(word, 31, 30);
  const bool vector = Bits(word, 26, 26);
  const uint32_t t = Bits(word, 4, 0);
  if (opc == 3) {
    if (vector) return false;
    Prefetch(word, op);
    return true;
  }
  const uint32_t bytes = vector ? 4u << opc : opc == 1 ? 8 : 4;
  auto* access = AddAccess(false, bytes == 16 ? uint32_t{kMicroOp} : 0, bytes,
                           0, {}, {}, op);
  if (vector) AddFpEnabled(access);
  Destination(vector ? V(t) : X(t), access);
  op->name = "ldr";
  return true;
}

// gem5's PairMemOp.
bool Pair(uint32_t word, MacroOp* op) {
  const uint32_t opc = Bits(word, 31, 30);
  const bool vector = Bits(word, 26, 26);
  const bool load = Bits(word, 22, 22);
  const uint32_t mode = Bits(word, 24, 23);  // no-allocate, post, offset, pre
  if (opc == 3 || (opc == 1 && !vector && (!load || mode == 0))) return false;
  const uint32_t bytes = vector ? 4u << opc : opc == 2 ? 8 : 4;
  const Register rn = XOrStackPointer(Bits(word, 9, 5));
  const bool post = mode == 1;
  const Register base = post ? rn : X(kTemporaryRegister);
  if (!post) AddAddition(rn, base, op);
  const uint32_t t = Bits(word, 4, 0), t2 = Bits(word, 14, 10);
  const Register first = vector ? V(t) : X(t);
  const Register second = vector ? V(t2) : X(t2);
  auto access = [&](uint32_t size, int32_t offset) {
    auto* a = AddAccess(!load, kMicroOp, size, offset, {base}, {}, op);
    if (vector) AddFpEnabled(a);
    return a;
  };
  if (load && bytes < 16) {
    auto* both = access(2 * bytes, 0);
    Destination(first, both);
    Destination(second, both);
  } else if (load) {
    Destination(first, access(16, 0));
    Destination(second, access(16, 16));
  } else if (bytes == 4) {
    auto* both = access(8, 0);
    Source(second, both);
    Source(first, both);
  } else {
    for (int32_t offset = 0; offset < 2 * static_cast<int>(bytes);
         offset += 8) {
      Source(offset < static_cast<int>(bytes) ? first : second,
             access(8, offset));
    }
  }
  if (post || mode == 3) AddAddition(base, rn, op);
  op->name = load ? "ldp" : "stp";
  return true;
}

// Exclusives, acquire and release, CAS and CASP.
bool Exclusive(uint32_t word, MacroOp* op) {
  const uint32_t bytes = 1u << Bits(word, 31, 30);
  const bool o2 = Bits(word, 23, 23), load = Bits(word, 22, 22);
  const bool o1 = Bits(word, 21, 21), o0 = Bits(word, 15, 15);
  const Register base = XOrStackPointer(Bits(word, 9, 5));
  const uint32_t s = Bits(word, 20, 16), t = Bits(word, 4, 0);
  const uint32_t t2 = Bits(word, 14, 10);
  const uint32_t barriers = kReadBarrier | kWriteBarrier;
  if (o1 && bytes < 4 && !o2) {  // CASP: bit 30 is its size
    if (t2 != 31) return false;
    const uint32_t half = Bits(word, 30, 30) ? 8 : 4;
    const bool ordered = load || o0;
    const bool swapped = half == 4;
    AddAccess(
        true, kAtomic | (ordered ? barriers : 0), 2 * half, 0,
        {base, X(s), X(s + 1), X(swapped ? t + 1 : t), X(swapped ? t : t + 1)},
        {X(s), X(s + 1), Misc(kSevMailbox), Misc(kLockFlag)}, op);
    op->name = "casp";
    return true;
  }
  if (o1 && o2) {
    if (t2 != 31) return false;
    AddAccess(true, kAtomic | (load || o0 ? barriers : 0), bytes, 0,
              {base, X(s), X(t)}, {X(s), Misc(kSevMailbox), Misc(kLockFlag)},
              op);
    op->name = "cas";
    return true;
  }
  if (o2) {  // LDAR, STLR; LORegion forms are not known
    if (!o0 || o1) return false;
    op->name = load ? "ldar" : "stlr";
    if (load) {
      AddAccess(false, barriers, bytes, 0, {base}, {X(t)}, op);
    } else {
      AddAccess(true, barriers, bytes, 0, {base, X(t)}, {}, op);
    }
    return true;
  }
  const bool pair = o1;
  op->name = load ? "ldxr" : "stxr";
  if (load) {
    auto* access = AddAccess(false, o0 ? barriers : 0, pair ? 2 * bytes : bytes,
                             0, {base}, {X(t)}, op);
    if (pair) Destination(X(t2), access);
    return true;
  }
  auto* access = AddAccess(true, kStoreConditional | (o0 ? barriers : 0),
                           pair ? 2 * bytes : bytes, 0, {base}, {}, op);
  if (pair && bytes == 4) Source(X(t2), access);
  Source(X(t), access);
  if (pair && bytes == 8) Source(X(t2), access);
  Destination(X(s), access);
  Destination(Misc(kSevMailbox), access);
  Destination(Misc(kLockFlag), access);
  op->access = Access::kMaybe;
  return true;
}

// LDADD and relatives, SWP, LDAPR.
bool AtomicMemory(uint32_t word, MacroOp* op) {
  const uint32_t bytes = 1u << Bits(word, 31, 30);
  const uint32_t opcode = Bits(word, 15, 12);
  const Register base = XOrStackPointer(Bits(word, 9, 5));
  const Register s = X(Bits(word, 20, 16)), t = X(Bits(word, 4, 0));
  const uint32_t barriers = kReadBarrier | kWriteBarrier;
  if (opcode == 12 && Bits(word, 23, 22) == 2) {
    AddAccess(false, barriers, bytes, 0, {base}, {t}, op);
    op->name = "ldapr";
    return true;
  }
  if (opcode > 8) return false;
  AddAccess(true, kAtomic | (Bits(word, 23, 22) ? barriers : 0), bytes, 0,
            {base, t, s}, {t, Misc(kSevMailbox), Misc(kLockFlag)}, op);
  op->name = opcode == 8 ? "swp" : "ldadd";
  return true;
}

// STLUR, LDAPUR and their signed forms, which gem5 21.2 cannot run: as STLR
// and LDAPR.
bool OrderedUnscaled(uint32_t word, MacroOp* op) {
  const uint32_t size = Bits(word, 31, 30), opc = Bits(word, 23, 22);
  if (opc + size > 4) return false;  // sign-extended to less than its size
  const Register base = XOrStackPointer(Bits(word, 9, 5));
  const Register t = X(Bits(word, 4, 0));
  const uint32_t barriers = kReadBarrier | kWriteBarrier;
  op->name = opc == 0 ? "stlur" : "ldapur";
  if (opc == 0) {
    AddAccess(true, barriers, 1u << size, 0, {base, t}, {}, op);
  } else {
    AddAccess(false, barriers, 1u << size, 0, {base}, {t}, op);
  }
  return true;
}

}  // namespace

trace::StaticInstruction* AddOp(int op_class, uint32_t flags,
                                std::initializer_list<Register> sources,
                                std::initializer_list<Register> dests,
                                MacroOp* op) {
  op->micro_ops.emplace_back();
  trace::StaticInstruction* added = &op->micro_ops.back().instruction;
  added->op_class = op_class;
  added->flags = flags;
  for (const Register& r : sources) Source(r, added);
  for (const Register& r : dests) Destination(r, added);
  return added;
}

trace::StaticInstruction* AddAccess(bool store, uint32_t flags, uint32_t bytes,
                                    int32_t offset,
                                    std::initializer_list<Register> sources,
                                    std::initializer_list<Register> dests,
                                    MacroOp* op) {
  flags |= trace::kHasAddress;
  if (store) flags |= trace::kHasStoreQueueIndex;
  auto* added = AddOp(store ? trace::kStoreOpClass : trace::kLoadOpClass, flags,
                      sources, dests, op);
  added->access_size = bytes;
  op->micro_ops.back().access_offset = offset;
  if (op->access == Access::kNone) op->access = Access::kTold;
  return added;
}

void AddAddition(Register source, Register destination, MacroOp* op) {
  AddOp(kIntAlu, kMicroOp, {source}, {destination}, op);
}

bool DecodeArmMemory(uint32_t word, MacroOp* op) {
  if ((word & 0xffffffe0) == 0xd50b7420) {  // DC ZVA
    AddAccess(true, 0, 64, 0,
              {X(word & 31), Misc(kCpsr), Misc(513), Misc(520), Misc(503)}, {},
              op);
    op->name = "dc_zva";
    op->access = Access::kHidden;
    op->hidden.base = word & 31;
    op->hidden.align_to_line = true;
    return true;
  }
  if ((word & 0x3f000000) == 0x08000000) return Exclusive(word, op);
  if ((word & 0x3f200c00) == 0x19000000) return OrderedUnscaled(word, op);
  if ((word & 0x3b000000) == 0x18000000) return LoadLiteral(word, op);
  if ((word & 0x3a000000) == 0x28000000) return Pair(word, op);
  if ((word & 0x3f200c00) == 0x38200000) return AtomicMemory(word, op);
  if ((word & 0x3a000000) == 0x38000000) return LoadStoreRegister(word, op);
  return false;
}

}  // namespace perfvec::tracer
