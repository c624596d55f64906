/* Makes a program start in QEMU as it starts in gem5 21.2, where what the two
 * show it makes it take other paths: the auxiliary vector (by which the C
 * library chooses its routines), the place of the stack in its page, and the
 * size of DC ZVA's block. For comparing traces; nothing else needs it.
 *
 * Part of perfvec's QEMU plugin: GNU General Public License, version 2 or
 * later. See COPYING. */
#define _GNU_SOURCE
#include "like_gem5.h"

#include <dlfcn.h>
#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What gem5's starter_se.py tells: FP, ASIMD, SHA1, SHA2, CRC32, ATOMICS,
 * ASIMDRDM, JSCVT, FCMA, SVE. */
#define GEM5_HWCAP 0x4071e3u
#define GEM5_USER 100u

static uint64_t Find(const uint64_t* auxv, uint64_t type) {
  for (; auxv[0] != AT_NULL; auxv += 2) {
    if (auxv[0] == type) return auxv[1];
  }
  return 0;
}

static char* PutString(char* end, const char* text) {
  const size_t bytes = strlen(text) + 1;
  return memcpy(end - bytes, text, bytes);
}

uint64_t perfvec_gem5_stack(uint64_t sp) {
  const uint64_t* argv = (const uint64_t*)sp + 1;
  const uint64_t argc = argv[-1];
  const uint64_t* envp = argv + argc + 1;
  uint64_t envc = 0;
  while (envp[envc] != 0) envc++;
  const uint64_t* old = envp + envc + 1;

  /* The strings, from the highest address down, below a sentry. The new
   * stack ends on a page's end, as gem5's does, below the old one. */
  char* at = (char*)((sp - 256) & ~4095ull) - 8;
  memset(at, 0, 8);
  char* const name = at = PutString(at, (const char*)argv[0]);
  for (uint64_t i = envc; i-- > 0;) at = PutString(at, (char*)envp[i]);
  char* const environment = at;
  for (uint64_t i = argc; i-- > 0;) at = PutString(at, (char*)argv[i]);
  char* const arguments = at;
  char* const platform = at = PutString(at, "v71");
  char* const random = at = at - 16;
  memset(random, 0, 16);

  const uint64_t auxv[][2] = {{AT_HWCAP, GEM5_HWCAP},
                              {AT_CLKTCK, 100},
                              {AT_SECURE, 0},
                              {AT_RANDOM, (uint64_t)random},
                              {AT_EXECFN, (uint64_t)name},
                              {AT_PLATFORM, (uint64_t)platform},
                              {AT_PAGESZ, 4096},
                              {AT_PHDR, Find(old, AT_PHDR)},
                              {AT_PHENT, Find(old, AT_PHENT)},
                              {AT_PHNUM, Find(old, AT_PHNUM)},
                              {AT_BASE, Find(old, AT_BASE)},
                              {AT_FLAGS, 0},
                              {AT_ENTRY, Find(old, AT_ENTRY)},
                              {AT_UID, GEM5_USER},
                              {AT_EUID, GEM5_USER},
                              {AT_GID, 0},
                              {AT_EGID, GEM5_USER},
                              {AT_NULL, 0}};
  const uint64_t pointers = 1 + (argc + 1) + (envc + 1);
  uint64_t* words =
      (uint64_t*)(((uint64_t)at - sizeof(auxv) - 8 * pointers) & ~15ull);
  const uint64_t new_sp = (uint64_t)words;
  *words++ = argc;
  const char* text = arguments;
  for (uint64_t i = 0; i < argc; i++, text += strlen(text) + 1) {
    *words++ = (uint64_t)text;
  }
  *words++ = 0;
  text = environment;
  for (uint64_t i = 0; i < envc; i++, text += strlen(text) + 1) {
    *words++ = (uint64_t)text;
  }
  *words++ = 0;
  memcpy(words, auxv, sizeof(auxv));
  return new_sp;
}

/* QEMU's `max` processor has blocks of 512 bytes, gem5 has 64. The field has
 * no name that can be asked for, but its neighbour has: it stands before
 * rvbar_prop, and is left alone unless it is found there with the value that
 * it should have. */
bool perfvec_gem5_zva(void* cpu) {
  struct property {
    char *name, *type, *description;
    void *get, *set, *resolve, *release, *init, *opaque;
  };
  struct property* (*find)(void*, const char*) =
      dlsym(RTLD_DEFAULT, "object_property_find");
  struct property* rvbar = find ? find(cpu, "rvbar") : NULL;
  if (rvbar == NULL) return false;
  for (int before = 4; before <= 8; before += 4) {
    uint32_t* field = (uint32_t*)((char*)rvbar->opaque - before);
    if (*field != 7) continue;
    *field = 4;
    return true;
  }
  return false;
}
