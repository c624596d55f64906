// Structure loads and stores of SIMD: gem5's VldMultOp64, VstMultOp64,
// VldSingleOp64 and VstSingleOp64.
#include <algorithm>

#include "client/tracer/arm_memory.h"

namespace perfvec::tracer {
namespace {

using trace::kMicroOp;
using trace::Register;

constexpr int kNoOpClass = 0;
constexpr int kSimdAdd = 12;

// The accesses, at most 16 bytes each, through the temporaries v32 and up.
void AddAccesses(bool load, int bytes, Register base, MacroOp* op) {
  for (int offset = 0; offset < bytes; offset += 16) {
    const uint32_t size = std::min(16, bytes - offset);
    const Register data = V(kVectorTemporary + offset / 16);
    if (load) {
      AddAccess(false, kMicroOp, size, offset,
                {Misc(kCpsr), Misc(kCpacr), base}, {data}, op);
    } else {
      AddAccess(true, kMicroOp, size, offset,
                {Misc(kCpsr), data, Misc(kCpacr), base}, {}, op);
    }
  }
}

void AddWriteBack(uint32_t word, Register base, MacroOp* op) {
  if (!Bits(word, 23, 23)) return;
  const uint32_t m = Bits(word, 20, 16);
  if (m == 31) {
    AddAddition(base, base, op);
  } else {
    AddOp(1, kMicroOp, {base, X(m)}, {base}, op);
  }
}

bool Multiple(uint32_t word, MacroOp* op) {
  int registers;
  switch (Bits(word, 15, 12)) {
    case 0b0000:
    case 0b0010:
      registers = 4;
      break;
    case 0b0100:
    case 0b0110:
      registers = 3;
      break;
    case 0b1000:
    case 0b1010:
      registers = 2;
      break;
    case 0b0111:
      registers = 1;
      break;
    default:
      return false;
  }
  const bool load = Bits(word, 22, 22);
  const int bytes = registers * (Bits(word, 30, 30) ? 16 : 8);
  const Register base = XOrStackPointer(Bits(word, 9, 5));
  const uint32_t d = Bits(word, 4, 0);
  op->name = load ? "ld1-4" : "st1-4";
  if (!load) {
    for (int i = 0; i < (bytes > 32 ? 2 : 1); ++i) {
      auto* mix = AddOp(
          kNoOpClass, kMicroOp, {},
          {V(kVectorTemporary + 2 * i), V(kVectorTemporary + 2 * i + 1)}, op);
      for (int r = 0; r < registers; ++r) {
        AddSource(kVectorRegister, (d + r) % 32, mix);
      }
    }
  }
  AddAccesses(load, bytes, base, op);
  AddWriteBack(word, base, op);
  if (load) {
    for (int i = 0; i < (registers + 1) / 2; ++i) {
      const uint32_t even = (d + 2 * i) % 32, odd = (d + 2 * i + 1) % 32;
      auto* mix = AddOp(kNoOpClass, kMicroOp, {V(odd)}, {V(odd), V(even)}, op);
      for (int r = 0; r < registers; ++r) {
        AddSource(kVectorRegister, kVectorTemporary + r, mix);
      }
    }
  }
  return true;
}

bool OneLane(uint32_t word, MacroOp* op) {
  const uint32_t opcode = Bits(word, 15, 13), size = Bits(word, 11, 10);
  const bool load = Bits(word, 22, 22);
  const int elements = 1 + Bits(word, 21, 21) + 2 * (opcode & 1);
  int element_bytes = 1 << (opcode >> 1);
  if (opcode >= 6) {  // LD1R and so on
    if (!load) return false;
    element_bytes = 1 << size;
  } else if (element_bytes == 4 && (size & 1)) {
    element_bytes = 8;
  }
  const int bytes = elements * element_bytes;
  const Register base = XOrStackPointer(Bits(word, 9, 5));
  const uint32_t d = Bits(word, 4, 0);
  op->name = load ? "ld1-4_lane" : "st1-4_lane";
  const Register t0 = V(kVectorTemporary), t1 = V(kVectorTemporary + 1);
  const Register t2 = V(kVectorTemporary + 2), t3 = V(kVectorTemporary + 3);
  if (!load) {
    AddOp(kSimdAdd, kMicroOp,
          {V(d), V((d + 1) % 32), V((d + 2) % 32), V((d + 3) % 32)}, {t0, t1},
          op);
  }
  AddAccesses(load, bytes, base, op);
  AddWriteBack(word, base, op);
  if (load) {
    for (int i = 0; i < (elements + 1) / 2; ++i) {
      const Register even = V((d + 2 * i) % 32), odd = V((d + 2 * i + 1) % 32);
      AddOp(kSimdAdd, kMicroOp, {t0, t1, t2, t3, even, odd}, {even, odd}, op);
    }
  }
  return true;
}

}  // namespace

bool DecodeArmVectorMemory(uint32_t word, MacroOp* op) {
  if ((word & 0xbfbf0000) == 0x0c000000 || (word & 0xbfa00000) == 0x0c800000) {
    return Multiple(word, op);
  }
  if ((word & 0xbf9f0000) == 0x0d000000 || (word & 0xbf800000) == 0x0d800000) {
    return OneLane(word, op);
  }
  return false;
}

}  // namespace perfvec::tracer
