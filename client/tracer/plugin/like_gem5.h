/* See like_gem5.c. GNU General Public License, version 2 or later. */
#ifndef PERFVEC_LIKE_GEM5_H
#define PERFVEC_LIKE_GEM5_H

#include <stdbool.h>
#include <stdint.h>

/* Builds the stack that gem5 would have built, below the one at `sp`; the
 * guest's memory is the host's. Gives the new stack pointer. */
uint64_t perfvec_gem5_stack(uint64_t sp);

/* Sets DC ZVA's block to 64 bytes. False: this QEMU does not let itself. */
bool perfvec_gem5_zva(void* cpu);

#endif
