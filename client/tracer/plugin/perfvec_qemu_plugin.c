/* The plugin that QEMU's user mode loads to tell perfvec what a program does:
 * which translated blocks run, which addresses their instructions touch. All
 * that needs knowledge of AArch64 beyond a few instruction words is done by
 * perfvec, in another process (event_stream.h).
 *
 *   qemu-aarch64 -plugin libperfvec_qemu.so,fd=9 PROGRAM
 *
 * Copyright: the authors of PerfVec Serve.
 * This program is free software; you can redistribute it and/or modify it
 * under the terms of the GNU General Public License as published by the Free
 * Software Foundation; either version 2 of the License, or (at your option)
 * any later version. See COPYING. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "event_stream.h"
#include "like_gem5.h"
#include "qemu_plugin_api.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

#define GUEST_MMAP 222 /* AArch64's number for it */

static struct perfvec_ring* ring;
static uint64_t* ring_words;
/* How many words may be in the ring before something is to do. */
static uint32_t limit;
static uint32_t blocks_sent;
/* The thread that is told of, by QEMU's number; 0 is the first. */
static unsigned int chosen;
static bool chosen_runs;
/* Before the chosen thread runs, the first one tells of the files that it
 * maps; this keeps the two apart. */
static pthread_mutex_t teller = PTHREAD_MUTEX_INITIALIZER;
static bool off;
static bool like_gem5;
static pid_t parent;

/* QEMU has no interface for reading registers before version 9. Its
 * executable exports what its own debugger stub uses; where that is missing,
 * no registers are sent. */
struct byte_array {
  uint8_t* data;
  unsigned int size;
};
static int (*read_register)(void* cpu, struct byte_array* out, int number);
static int (*write_register)(void* cpu, uint8_t* value, int number);
static struct byte_array* (*new_array)(void);
static struct byte_array* (*set_array_size)(struct byte_array*, unsigned int);
static void* cpu; /* of the chosen thread */
static struct byte_array* register_bytes;

static long Futex(uint32_t* word, int operation, uint32_t value) {
  const struct timespec second = {1, 0};
  return syscall(SYS_futex, word, operation, value,
                 operation == FUTEX_WAIT ? &second : NULL, NULL, 0);
}

static void Publish(void) {
  __atomic_store_n(&ring->written, ring->cursor, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&ring->reader_waits, __ATOMIC_SEQ_CST)) {
    Futex(&ring->written, FUTEX_WAKE, 1);
  }
}

/* Makes room for at least a batch; called whenever `limit` is reached. */
static void NextBatch(void) {
  const uint32_t cursor = ring->cursor;
  if (!off) Publish();
  while (!off) {
    const uint32_t read = __atomic_load_n(&ring->read, __ATOMIC_SEQ_CST);
    const uint32_t used = cursor - read;
    if (PERFVEC_RING_WORDS - used >= 2 * PERFVEC_RING_BATCH) break;
    if (__atomic_load_n(&ring->reader_gone, __ATOMIC_ACQUIRE) ||
        getppid() != parent) {
      off = true;
    }
    __atomic_store_n(&ring->writer_waits, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring->read, __ATOMIC_SEQ_CST) == read) {
      Futex(&ring->read, FUTEX_WAIT, read);
    }
    __atomic_store_n(&ring->writer_waits, 0, __ATOMIC_SEQ_CST);
  }
  limit = cursor + PERFVEC_RING_BATCH;
}

static inline void Put(uint64_t word) {
  ring_words[ring->cursor % PERFVEC_RING_WORDS] = word;
  if (++ring->cursor == limit) NextBatch();
}

static inline void PutEvent(unsigned int kind, uint64_t value) {
  Put((uint64_t)kind << PERFVEC_VALUE_BITS | (value & PERFVEC_VALUE_MASK));
}

/* A translated block, kept as long as the program runs. Only the chosen
 * thread sends anything, whichever thread translated it. */
struct block {
  uint64_t pc;
  uint32_t number; /* 0 until it has been sent */
  uint32_t count;
  uint32_t words[];
};

/* `current_cpu` is of each thread, and set once that thread runs code. */
static bool tried_registers;
static void FindRegisters(void) {
  if (tried_registers) return;
  tried_registers = true;
  void** current = dlsym(RTLD_DEFAULT, "current_cpu");
  read_register = dlsym(RTLD_DEFAULT, "aarch64_cpu_gdb_read_register");
  write_register = dlsym(RTLD_DEFAULT, "aarch64_cpu_gdb_write_register");
  new_array = dlsym(RTLD_DEFAULT, "g_byte_array_new");
  set_array_size = dlsym(RTLD_DEFAULT, "g_byte_array_set_size");
  if (current && read_register && new_array && set_array_size) {
    if (register_bytes == NULL) register_bytes = new_array();
    cpu = *current;
    ring->has_registers = cpu != NULL;
  }
}

static uint64_t StackPointer(void) {
  uint64_t value = 0;
  set_array_size(register_bytes, 0);
  read_register(cpu, register_bytes, 31);
  memcpy(&value, register_bytes->data, 8);
  return value;
}

/* Before the program's first instruction. */
static void StartLikeGem5(void) {
  FindRegisters();
  const uintptr_t* guest_base = dlsym(RTLD_DEFAULT, "guest_base");
  if (cpu == NULL || write_register == NULL || guest_base == NULL ||
      *guest_base != 0) {
    fputs("perfvec's QEMU plugin: this QEMU cannot start like gem5\n", stderr);
    return;
  }
  uint64_t sp = perfvec_gem5_stack(StackPointer());
  write_register(cpu, (uint8_t*)&sp, 31);
  if (!perfvec_gem5_zva(cpu)) {
    fputs("perfvec's QEMU plugin: blocks of DC ZVA stay as they are\n", stderr);
  }
}

static void SendBlock(struct block* block) {
  block->number = ++blocks_sent;
  PutEvent(PERFVEC_TRANSLATED, block->number);
  Put(block->pc);
  Put(block->count);
  for (uint32_t i = 0; i < block->count; i += 2) {
    const uint64_t high = i + 1 < block->count ? block->words[i + 1] : 0;
    Put(block->words[i] | high << 32);
  }
}

static void SendRegisters(void) {
  FindRegisters();
  if (cpu == NULL) return;
  PutEvent(PERFVEC_REGISTERS, 0);
  set_array_size(register_bytes, 0);
  for (int i = 0; i < PERFVEC_REGISTER_WORDS; i++) {
    read_register(cpu, register_bytes, i);
  }
  for (int i = 0; i < PERFVEC_REGISTER_WORDS; i++) {
    uint64_t value = 0;
    memcpy(&value, register_bytes->data + 8 * i, 8);
    Put(value);
  }
}

/* Holds the program at its first instruction: a short one would be over
 * before the reader has seen what memory it began with. */
static void AwaitReader(void) {
  if (off) return;
  Publish();
  while (!__atomic_load_n(&ring->may_run, __ATOMIC_SEQ_CST) &&
         getppid() == parent) {
    Futex(&ring->may_run, FUTEX_WAIT, 0);
  }
}

static void FirstRun(struct block* block) {
  const bool first = blocks_sent == 0;
  if (first) {
    if (chosen == 0 && like_gem5) StartLikeGem5();
    pthread_mutex_lock(&teller);
    chosen_runs = true;
    pthread_mutex_unlock(&teller);
  }
  SendBlock(block);
  if (!first) return;
  /* With the program's first block its stack pointer is told. */
  PutEvent(PERFVEC_BLOCK, block->number);
  SendRegisters();
  if (cpu != NULL) AwaitReader();
}

/* Of another thread than the chosen one. */
static void OtherRuns(unsigned int vcpu) {
  static bool started;
  if (vcpu != 0 || started) return;
  started = true;
  if (like_gem5) StartLikeGem5();
  tried_registers = false; /* they are to be the chosen thread's */
}

static void BlockRuns(unsigned int vcpu, void* data) {
  struct block* block = data;
  if (vcpu != chosen) {
    OtherRuns(vcpu);
    return;
  }
  if (block->number == 0) {
    FirstRun(block);
    if (block->number == 1) return;
  }
  PutEvent(PERFVEC_BLOCK, block->number);
}

static void BlockRunsWithRegisters(unsigned int vcpu, void* data) {
  BlockRuns(vcpu, data);
  if (vcpu == chosen) SendRegisters();
}

static void MemoryTouched(unsigned int vcpu, qemu_plugin_meminfo_t info,
                          uint64_t address, void* instruction) {
  (void)info;
  if (vcpu == chosen) PutEvent((uintptr_t)instruction, address);
}

/* Instructions whose addresses QEMU does not tell: DC ZVA, PRFM, all of SVE. */
static bool HidesAddress(uint32_t word) {
  return (word & 0xffffffe0) == 0xd50b7420 ||
         (word & 0xffc00000) == 0xf9800000 ||
         (word & 0xffe00c00) == 0xf8a00800 ||
         (word & 0xffe00c00) == 0xf8800000 ||
         (word & 0xff000000) == 0xd8000000 || (word & 0x1e000000) == 0x04000000;
}

static void Translated(qemu_plugin_id_t id, struct qemu_plugin_tb* tb) {
  (void)id;
  const size_t count = qemu_plugin_tb_n_insns(tb);
  struct block* block = malloc(sizeof(*block) + 4 * count);
  if (block == NULL) abort();
  block->pc = qemu_plugin_tb_vaddr(tb);
  block->number = 0;
  block->count = count;
  bool hidden = false;
  for (size_t i = 0; i < count; i++) {
    struct qemu_plugin_insn* insn = qemu_plugin_tb_get_insn(tb, i);
    memcpy(&block->words[i], qemu_plugin_insn_data(insn), 4);
    hidden |= HidesAddress(block->words[i]);
    qemu_plugin_register_vcpu_mem_cb(insn, MemoryTouched,
                                     QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
                                     (void*)(uintptr_t)i);
  }
  qemu_plugin_register_vcpu_tb_exec_cb(
      tb, hidden ? BlockRunsWithRegisters : BlockRuns, QEMU_PLUGIN_CB_R_REGS,
      block);
}

static void ThreadBegan(qemu_plugin_id_t id, unsigned int vcpu) {
  (void)id;
  if (vcpu != 0) __atomic_fetch_add(&ring->more_threads, 1, __ATOMIC_RELAXED);
}

/* An mmap() of this thread on its way, that maps code from a file. */
static __thread struct {
  bool wanted;
  int fd;
  uint64_t length, offset;
} mapping;

static void SystemCallBegins(qemu_plugin_id_t id, unsigned int vcpu,
                             int64_t number, uint64_t a1, uint64_t a2,
                             uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                             uint64_t a7, uint64_t a8) {
  (void)id, (void)a1, (void)a4, (void)a7, (void)a8;
  mapping.wanted = (vcpu == 0 || vcpu == chosen) && number == GUEST_MMAP &&
                   (a3 & PROT_EXEC) != 0 && (int)a5 >= 0;
  mapping.fd = (int)a5;
  mapping.length = a2;
  mapping.offset = a6;
}

static void SendMapping(uint64_t address) {
  /* The guest's files are QEMU's own. */
  char link[32], path[PERFVEC_MAX_PATH] = "";
  snprintf(link, sizeof(link), "/proc/self/fd/%d", mapping.fd);
  const ssize_t bytes = readlink(link, path, sizeof(path) - 8);
  if (bytes <= 0) return;
  PutEvent(PERFVEC_MAPPED, address);
  Put(mapping.length);
  Put(mapping.offset);
  Put(bytes);
  for (ssize_t i = 0; i < bytes; i += 8) {
    uint64_t word;
    memcpy(&word, path + i, 8);
    Put(word);
  }
}

static void SystemCallEnded(qemu_plugin_id_t id, unsigned int vcpu,
                            int64_t number, int64_t result) {
  (void)id, (void)number;
  if (!mapping.wanted) return;
  mapping.wanted = false;
  if (result < 0 && result > -4096) return;
  pthread_mutex_lock(&teller);
  if (vcpu == chosen || !chosen_runs) SendMapping(result);
  pthread_mutex_unlock(&teller);
}

static size_t RingBytes(void) {
  return sizeof(*ring) + 8ull * PERFVEC_RING_WORDS;
}

/* A process that forks off must not write into the ring: it gets memory of
 * its own in its place. */
static void Forked(void) {
  off = true;
  if (mmap(ring, RingBytes(), PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
    abort();
  }
  limit = PERFVEC_RING_BATCH; /* and the cursor is 0 */
}

static void Ended(qemu_plugin_id_t id, void* data) {
  (void)id;
  (void)data;
  PutEvent(PERFVEC_END, 0);
  if (!off) Publish();
}

static int Refuse(const char* why) {
  fprintf(stderr, "perfvec's QEMU plugin: %s\n", why);
  return -1;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id,
                                           const qemu_info_t* info, int argc,
                                           char** argv) {
  if (info->system_emulation || strcmp(info->target_name, "aarch64") != 0) {
    return Refuse("made for qemu-aarch64, the user mode, only");
  }
  int fd = -1;
  for (int i = 0; i < argc; i++) {
    if (strncmp(argv[i], "fd=", 3) == 0) fd = atoi(argv[i] + 3);
    if (strncmp(argv[i], "thread=", 7) == 0) chosen = atoi(argv[i] + 7);
    if (strcmp(argv[i], "like_gem5=on") == 0) like_gem5 = true;
  }
  if (fd < 0) return Refuse("needs fd=N; perfvec trace run gives it");
  ring = mmap(NULL, RingBytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (ring == MAP_FAILED) return Refuse(strerror(errno));
  if (ring->magic != PERFVEC_RING_MAGIC || ring->words != PERFVEC_RING_WORDS) {
    return Refuse("the ring is of another version of perfvec");
  }
  ring_words = (uint64_t*)(ring + 1);
  limit = PERFVEC_RING_BATCH;
  parent = getppid();
  pthread_atfork(NULL, NULL, Forked);
  qemu_plugin_register_vcpu_init_cb(id, ThreadBegan);
  qemu_plugin_register_vcpu_tb_trans_cb(id, Translated);
  qemu_plugin_register_vcpu_syscall_cb(id, SystemCallBegins);
  qemu_plugin_register_vcpu_syscall_ret_cb(id, SystemCallEnded);
  qemu_plugin_register_atexit_cb(id, Ended, NULL);
  return 0;
}
