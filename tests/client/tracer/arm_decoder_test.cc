// The decoder against gem5: coverage.elf and coverage_sve.elf hold every class
// of instruction that compilers and libraries use (coverage.py and
// coverage_sve.py write them), coverage.pvt and coverage_sve.pvt are what gem5
// 21.2's O3 processor committed when it ran them.
#include "client/tracer/arm_decoder.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/tracer/arm_rules.h"
#include "client/tracer/elf_file.h"
#include "gtest/gtest.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/reader.h"

namespace perfvec::tracer {
namespace {

constexpr char kFolder[] = PERFVEC_SOURCE_DIR "/tests/client/tracer/";

std::string Describe(const trace::StaticInstruction& op) {
  std::string text =
      absl::StrFormat("%s flags %x size %d:", OpClassName(op.op_class),
                      op.flags, op.access_size);
  for (int i = 0; i < op.source_count; ++i) {
    absl::StrAppend(&text, " ", op.sources[i].register_class, ".",
                    op.sources[i].index);
  }
  absl::StrAppend(&text, " >");
  for (int i = 0; i < op.destination_count; ++i) {
    absl::StrAppend(&text, " ", op.destinations[i].register_class, ".",
                    op.destinations[i].index);
  }
  return text;
}

class CoverageTest : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(ArmDecoder, CoverageTest,
                         ::testing::Values("coverage", "coverage_sve"),
                         [](const auto& info) { return info.param; });

TEST_P(CoverageTest, MakesTheOperationsThatGem5Makes) {
  auto program = ElfFile::Read(absl::StrCat(kFolder, GetParam(), ".elf"));
  ASSERT_TRUE(program.ok()) << program.status();
  auto source =
      trace::OpenFileSource(absl::StrCat(kFolder, GetParam(), ".pvt"));
  ASSERT_TRUE(source.ok()) << source.status();
  auto reader = trace::TraceReader::Open(*std::move(source));
  ASSERT_TRUE(reader.ok()) << reader.status();
  trace::TraceChunk chunk;
  int instructions = 0, different = 0;
  auto more = (*reader)->Next(&chunk);
  ASSERT_TRUE(more.ok() && *more) << more.status();
  const trace::InstructionBlock& block = chunk.block;
  for (size_t i = 0; i < block.size(); ++instructions) {
    const uint64_t pc = block.statics[block.static_index[i]].pc;
    const uint32_t word = program->WordAt(pc);
    const MacroOp op = DecodeArm(word);
    EXPECT_TRUE(op.known()) << absl::StrFormat("%08x at %x", word, pc);
    for (const MicroOp& micro_op : op.micro_ops) {
      ASSERT_LT(i, block.size());
      const trace::StaticInstruction* gem5 =
          &block.statics[block.static_index[i++]];
      // Memory touched for the first time: the operation comes once more.
      if ((gem5->flags & trace::kFault) != 0 && i < block.size() &&
          (micro_op.instruction.flags & trace::kFault) == 0) {
        gem5 = &block.statics[block.static_index[i++]];
      }
      trace::StaticInstruction ours = micro_op.instruction;
      ours.pc = pc;
      if (op.hidden.predicate >= 0 && (gem5->flags & trace::kHasAddress) == 0) {
        ours.flags &= ~trace::kHasAddress;  // no element was active
        ours.access_size = 0;
      }
      if (ours == *gem5) continue;
      EXPECT_LT(++different, 10) << "and more";
      EXPECT_EQ(Describe(ours), Describe(*gem5))
          << absl::StrFormat("%08x (%s) at %x", word, op.name, pc);
      if (different >= 10) return;
    }
  }
  EXPECT_EQ(different, 0);
  EXPECT_GT(instructions, 4000);
}

TEST(ArmDecoderTest, AddressesOfAPairAreCountedFromItsFirst) {
  const MacroOp op = DecodeArm(0xa9be7bfd);  // stp x29, x30, [sp, #-32]!
  ASSERT_EQ(op.micro_ops.size(), 4);
  EXPECT_EQ(op.access, Access::kTold);
  EXPECT_EQ(op.micro_ops[0].access_offset, kNoAccess);
  EXPECT_EQ(op.micro_ops[1].access_offset, 0);
  EXPECT_EQ(op.micro_ops[2].access_offset, 8);
  EXPECT_EQ(op.micro_ops[3].access_offset, kNoAccess);
}

TEST(ArmDecoderTest, WhatNoRuleKnowsSaysSo) {
  for (const uint32_t word : {0x00000000u,     // UDF
                              0xd5380000u,     // MRS of MIDR_EL1
                              0x85004000u,     // SVE: a gather
                              0xa400e000u,     // SVE: LDNT1B
                              0x651aa000u}) {  // SVE2: FLOGB
    const MacroOp op = DecodeArm(word);
    EXPECT_FALSE(op.known()) << absl::StrFormat("%08x", word);
    ASSERT_EQ(op.micro_ops.size(), 1);
    EXPECT_EQ(op.micro_ops[0].instruction.op_class, 0);
  }
}

// Not in coverage.elf. The first are as gem5 21.2 ran them, the others, which
// it cannot run, as their nearest kin.
TEST(ArmDecoderTest, LaterInstructionsAreKnown) {
  const std::string fpen = "6.0 6.509 ";
  for (const auto& [word, operation] : {
           std::pair<uint32_t, std::string>{
               0x6e838441,  // sqrdmlah v1.4s, v2.4s, v3.4s
               "SimdMult flags 0 size 0: " + fpen +
                   "2.2 2.3 2.1 6.18 > 2.1 6.18"},
           {0x6f53f041,  // sqrdmlsh v1.8h, v2.8h, v3.h[1]
            "SimdMult flags 0 size 0: " + fpen + "2.2 2.3 2.1 6.18 > 2.1 6.18"},
           {0x7e438c41,  // sqrdmlsh h1, h2, h3
            "SimdMult flags 0 size 0: " + fpen + "2.2 2.3 2.1 6.18 > 2.1 6.18"},
           {0x6e83e441,  // fcadd v1.4s, v2.4s, v3.4s, #90
            "SimdFloatAdd flags 0 size 0: " + fpen + "2.2 2.3 6.17 > 6.17 2.1"},
           {0x6e83cc41,  // fcmla v1.4s, v2.4s, v3.4s, #90
            "SimdFloatMultAcc flags 0 size 0: " + fpen +
                "2.2 2.3 2.1 6.17 > 2.1 6.17"},
           {0x6f833041,  // fcmla v1.4s, v2.4s, v3.s[0], #90
            "SimdFloatMultAcc flags 0 size 0: " + fpen +
                "2.2 2.3 2.1 6.17 > 2.1 6.17"},
           {0x1e7e0062,  // fjcvtzs w2, d3
            "FloatCvt flags 0 size 0: " + fpen +
                "6.17 2.3 > 6.17 0.2 5.0 5.2 5.1"},
           {0xd503229f, "No_OpClass flags 4000 size 0: >"},     // csdb
           {0xd503221f, "No_OpClass flags 4000 size 0: >"},     // esb
           {0xd50320ff, "IntAlu flags 0 size 0: 0.30 > 0.30"},  // xpaclri
           {0x0ee3e041,  // pmull v1.1q, v2.1d, v3.1d
            "SimdMult flags 0 size 0: " + fpen + "2.2 2.3 > 2.1"},
           {0xd53be042,  // mrs x2, cntvct_el0
            "IntAlu flags 100 size 0: 6.0 6.513 6.520 > 0.2"},
           {0xd9408020,  // ldapur x0, [x1, #8]
            "MemRead flags 9800 size 8: 0.1 > 0.0"},
           {0x19808022,  // ldapursb x2, [x1, #8]
            "MemRead flags 9800 size 1: 0.1 > 0.2"},
           {0x99008022,  // stlur w2, [x1, #8]
            "MemWrite flags 9802 size 4: 0.1 0.2 >"},
       }) {
    const MacroOp op = DecodeArm(word);
    ASSERT_TRUE(op.known()) << absl::StrFormat("%08x", word);
    ASSERT_EQ(op.micro_ops.size(), 1);
    EXPECT_EQ(Describe(op.micro_ops[0].instruction), operation)
        << absl::StrFormat("%08x", word);
  }
  EXPECT_FALSE(DecodeArm(0xd9c08020).known());  // no such size of LDAPURS
}

// No word may do worse than being unknown: registers stay within bounds.
TEST(ArmDecoderTest, AnyWordIsDecodedOrUnknown) {
  uint32_t word = 12345;
  for (int i = 0; i < 50000; ++i) {
    word = word * 1664525u + 1013904223u;
    const MacroOp op = DecodeArm(word);
    ASSERT_FALSE(op.micro_ops.empty());
    for (const MicroOp& micro_op : op.micro_ops) {
      const trace::StaticInstruction& s = micro_op.instruction;
      ASSERT_LE(s.source_count, trace::kMaxSourceRegisters);
      ASSERT_LE(s.destination_count, trace::kMaxDestinationRegisters);
      ASSERT_EQ((s.flags & trace::kHasAddress) != 0,
                micro_op.access_offset != kNoAccess)
          << absl::StrFormat("%08x", word);
    }
  }
}

TEST(ArmRulesTest, WrongLinesAreNamed) {
  EXPECT_GT(ArmRules::Get().size(), 250);
  const std::string bits(32, 'x');
  for (const auto& [line, complaint] :
       {std::pair<std::string, std::string>{"add | 01", "name | bits"},
        {"add | 012 | IntAlu | > d", "32 of 0, 1, x"},
        {"add | " + bits + " | IntAdd | > d", "no OpClass"},
        {"add | " + bits + " | IntAlu fast | > d", "no flag"},
        {"add | " + bits + " | IntAlu | > q", "no operand"},
        {"add | " + bits + " | IntAlu | d", "sources > destinations"},
        {"add | " + bits + " | IntAlu | nzcv nzcv nzcv > d", "more registers"},
        {"add | " + bits + " | | > d", "sources > destinations"}}) {
    const auto rules = ArmRules::Parse("# first\n" + line);
    ASSERT_FALSE(rules.ok()) << line;
    EXPECT_NE(rules.status().message().find("line 2"), std::string::npos);
    EXPECT_NE(rules.status().message().find(complaint), std::string::npos)
        << rules.status();
  }
}

}  // namespace
}  // namespace perfvec::tracer
