// Loads and stores of SVE: gem5's SveContigMemSS, SveContigMemSI, SveLdStruct,
// SveStStruct, SveLoadAndRepl and SveMemVecFillSpill. QEMU tells no address of
// them. Gathers and scatters, whose addresses lie in vectors, are not known,
// nor is what gem5 21.2 cannot run: non-temporal ones, LD1RO.
#include "client/tracer/arm_memory.h"
#include "client/tracer/register_file.h"

namespace perfvec::tracer {
namespace {

using trace::kMicroOp;
using trace::Register;

constexpr int kSimdAlu = 14;
constexpr uint16_t kFirstFault = 16;       // among predicates
constexpr uint32_t kInterleaved = 32 + 8;  // temporaries of structures

Register Governing(uint32_t word) {
  return {kPredicateRegister, static_cast<uint16_t>(Bits(word, 12, 10))};
}

// The operands' fields that all forms share.
struct Form {
  bool store = false;
  bool first_fault = false;  // and non-fault
  int index = -1;            // register
  int registers = 1;
  uint32_t access_bytes = kVectorBytes;
};

void AddSveAccess(uint32_t word, const Form& form, uint32_t flags,
                  int32_t offset, Register data, MacroOp* op) {
  const Register base = XOrStackPointer(Bits(word, 9, 5));
  trace::StaticInstruction* access;
  if (form.store) {
    access = AddAccess(true, flags, form.access_bytes, offset,
                       {base, Misc(kCpsr), Governing(word), data, Misc(kCpacr)},
                       {}, op);
  } else {
    access = AddAccess(false, flags, form.access_bytes, offset,
                       {base, Misc(kCpsr), Governing(word), Misc(kCpacr)},
                       {data}, op);
  }
  if (form.index >= 0) AddSource(kIntegerRegister, form.index, access);
  if (form.first_fault) {
    AddSource(kPredicateRegister, kFirstFault, access);
    AddDestination(kPredicateRegister, kFirstFault, access);
  }
}

// One vector, or a structure of 2 to 4, which passes through temporaries.
void AddVectors(uint32_t word, const Form& form, MacroOp* op) {
  const uint32_t d = Bits(word, 4, 0);
  if (form.registers == 1) {
    AddSveAccess(word, form, 0, 0, V(d), op);
    return;
  }
  auto vector = [&](int i) { return V((d + i) % 32); };
  auto add_moves = [&] {
    for (int i = 0; i < form.registers; ++i) {
      trace::StaticInstruction* move =
          AddOp(kSimdAlu, kMicroOp, {Misc(kCpsr), Misc(kCpacr)}, {}, op);
      for (int k = 0; k < form.registers; ++k) {
        const Register r = form.store ? vector(k) : V(kInterleaved + k);
        AddSource(r.register_class, r.index, move);
      }
      const Register r = form.store ? V(kInterleaved + i) : vector(i);
      AddDestination(r.register_class, r.index, move);
    }
  };
  if (form.store) add_moves();
  for (int i = 0; i < form.registers; ++i) {
    AddSveAccess(word, form, kMicroOp, i * kVectorBytes, V(kInterleaved + i),
                 op);
  }
  if (!form.store) add_moves();
}

void SetHidden(uint32_t word, const Form& form, int index_shift, int64_t offset,
               MacroOp* op) {
  op->access = Access::kHidden;
  op->hidden.base = Bits(word, 9, 5);
  op->hidden.index = form.index;
  op->hidden.shift = index_shift;
  op->hidden.predicate = Bits(word, 12, 10);
  op->hidden.offset = offset;
}

// Bytes of an element in memory and in the register, as powers of 2, of a
// load's dtype. Signed ones count down from the end.
void LoadSizes(uint32_t dtype, int* memory, int* element) {
  *memory = dtype >> 2;
  *element = dtype & 3;
  if (*memory <= *element) return;
  *memory = 3 - *memory;
  *element = 3 - *element;
}

// LD1, LDFF1, LDNF1, LD2 to LD4, LD1RQ; ST1 to ST4.
bool Contiguous(uint32_t word, MacroOp* op) {
  Form form;
  form.store = Bits(word, 31, 25) == 0b1110010;
  if (!form.store && Bits(word, 31, 25) != 0b1010010) return false;
  const uint32_t kind = Bits(word, 15, 13), m = Bits(word, 20, 16);
  const bool bit20 = Bits(word, 20, 20);
  const int registers = Bits(word, 22, 21) + 1;
  int memory = Bits(word, 24, 23), element = Bits(word, 22, 21);
  bool structure = false, replicate = false, immediate = false;
  if (form.store) {
    // 010 and 011 with a register; 111 with an immediate.
    structure = kind == 0b011 || (kind == 0b111 && bit20);
    immediate = kind == 0b111;
    if (kind != 0b010 && !structure && !immediate) return false;
  } else if (kind == 0b010 || kind == 0b011 || kind == 0b101) {
    LoadSizes(Bits(word, 24, 21), &memory, &element);
    immediate = kind == 0b101;
    form.first_fault = kind == 0b011 || (immediate && bit20);
  } else if (kind == 0b110 || (kind == 0b111 && !bit20)) {
    structure = true;
    immediate = kind == 0b111;
  } else if (kind == 0b000 || (kind == 0b001 && !bit20)) {
    replicate = true;
    immediate = kind == 0b001;
    if (registers != 1) return false;  // LD1RO
  } else {
    return false;
  }
  // A structure of one is a non-temporal access.
  if (structure && registers == 1) return false;
  if (!structure && !replicate && memory > element) return false;
  if (!immediate && m == 31) return false;
  if (!immediate) form.index = m;
  if (structure) {
    form.registers = registers;
  } else if (!replicate) {
    form.access_bytes = kVectorBytes >> element << memory;
  }
  AddVectors(word, form, op);
  const int64_t unit = replicate ? 16 : form.registers * form.access_bytes;
  SetHidden(word, form, memory, immediate ? SignedBits(word, 19, 16) * unit : 0,
            op);
  op->name = form.store ? "st1-4_sve" : "ld1-4_sve";
  return true;
}

// LD1R: one element for all.
bool Replicated(uint32_t word, MacroOp* op) {
  if (Bits(word, 31, 25) != 0b1000010 || !Bits(word, 22, 22) ||
      !Bits(word, 15, 15)) {
    return false;
  }
  int memory, element;
  LoadSizes(Bits(word, 24, 23) << 2 | Bits(word, 14, 13), &memory, &element);
  Form form;
  form.access_bytes = 1u << memory;
  AddVectors(word, form, op);
  SetHidden(word, form, 0, int64_t{Bits(word, 21, 16)} << memory, op);
  op->name = "ld1r_sve";
  return true;
}

// LDR and STR of a vector or predicate.
bool FillSpill(uint32_t word, MacroOp* op) {
  const uint32_t top = Bits(word, 31, 22), kind = Bits(word, 15, 13);
  const bool store = top == 0b1110010110, vector = kind == 0b010;
  if ((!store && top != 0b1000010110) || (!vector && kind != 0b000) ||
      (!vector && Bits(word, 4, 4))) {
    return false;
  }
  const Register base = XOrStackPointer(Bits(word, 9, 5));
  const Register data = vector
                            ? V(Bits(word, 4, 0))
                            : Register{kPredicateRegister,
                                       static_cast<uint16_t>(Bits(word, 3, 0))};
  const uint32_t bytes = vector ? kVectorBytes : kVectorBytes / 8;
  if (store) {
    AddAccess(true, 0, bytes, 0, {base, Misc(kCpsr), data, Misc(kCpacr)}, {},
              op);
  } else {
    AddAccess(false, 0, bytes, 0, {base, Misc(kCpsr), Misc(kCpacr)}, {data},
              op);
  }
  SetHidden(word, Form(), 0, 0, op);
  op->hidden.predicate = -1;
  op->hidden.offset =
      (SignedBits(word, 21, 16) * 8 + Bits(word, 12, 10)) * int64_t{bytes};
  op->name = store ? "str_sve" : "ldr_sve";
  return true;
}

}  // namespace

bool DecodeArmSveMemory(uint32_t word, MacroOp* op) {
  return Contiguous(word, op) || Replicated(word, op) || FillSpill(word, op);
}

}  // namespace perfvec::tracer
