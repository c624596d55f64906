/* What the QEMU plugin tells perfvec: 64-bit words through a ring in memory
 * that both processes share. Standard C headers only; used from C and C++.
 * This header is under the licence of perfvec, not of the plugin.
 *
 * The 16 highest bits of a word say what it is, the 48 lowest its value:
 *
 *   0 to 0x0fff         instruction so-and-so of the running block touched
 *                       memory at this address
 *   PERFVEC_BLOCK       the block with this number begins to run
 *   PERFVEC_REGISTERS   x0 to x30 and sp follow, as they are where the block
 *                       just begun begins: 32 words
 *   PERFVEC_TRANSLATED  a block with this number was translated. It follows:
 *                       its pc; the number n of its instructions; n
 *                       instruction words, two in each word, the first low
 *   PERFVEC_MAPPED      the program mapped part of a file here to run code
 *                       from. It follows: length; offset in the file; bytes
 *                       of its path; the path, eight bytes in each word
 *   PERFVEC_END         the program has ended; nothing follows
 *
 * One producer, one consumer. Each waits on the other's counter by futex. */
#ifndef PERFVEC_CLIENT_TRACER_PLUGIN_EVENT_STREAM_H_
#define PERFVEC_CLIENT_TRACER_PLUGIN_EVENT_STREAM_H_

#include <stdint.h>

#define PERFVEC_RING_MAGIC 0x3247524345564650ull /* "PFVECRG2" */
#define PERFVEC_RING_WORDS (1u << 19)            /* 4 MiB */
/* Counters are published every so many words: a block's worth of events never
 * exceeds it, and the two processes seldom touch one cache line together. */
#define PERFVEC_RING_BATCH (1u << 13)

#define PERFVEC_VALUE_BITS 48
#define PERFVEC_VALUE_MASK ((1ull << PERFVEC_VALUE_BITS) - 1)
#define PERFVEC_MAX_INSTRUCTION 0x0fffu
#define PERFVEC_BLOCK 0xf001u
#define PERFVEC_REGISTERS 0xf002u
#define PERFVEC_TRANSLATED 0xf003u
#define PERFVEC_END 0xf004u
#define PERFVEC_MAPPED 0xf005u
#define PERFVEC_MAX_PATH 4096u
#define PERFVEC_REGISTER_WORDS 32

/* The first page of the shared memory; the ring of words follows. */
struct perfvec_ring {
  uint64_t magic;
  uint64_t words;
  char pad0[48];
  /* Words written and read since the beginning, modulo 2^32; futex words. */
  uint32_t written;
  uint32_t writer_waits;
  /* Words in the ring, published or not: for when the writer has died. */
  uint32_t cursor;
  /* Threads that began after the first; they are not followed. */
  uint32_t more_threads;
  /* 1 once the writer can send registers. */
  uint32_t has_registers;
  char pad1[44];
  uint32_t read;
  uint32_t reader_waits;
  /* The reader wants nothing more: the writer drops all it has. */
  uint32_t reader_gone;
  /* 1 once the reader has looked at the process as it is at the program's
   * first instruction; the writer waits for it there. */
  uint32_t may_run;
  char pad2[4096 - 64 - 64 - 16];
};

#endif
