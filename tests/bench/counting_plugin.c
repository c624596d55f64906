/* The rival of perfvec's QEMU plugin in trace_bench: counts instructions and
 * memory accesses, in line with the translated code, and nothing else.
 *
 * QEMU loads it, so it is under the licence of perfvec's own plugin: GNU
 * General Public License, version 2 or later (client/tracer/plugin/COPYING). */
#include <stdio.h>

#include "client/tracer/plugin/qemu_plugin_api.h"

enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb* tb,
                                              enum qemu_plugin_op op,
                                              void* counter, uint64_t add);
void qemu_plugin_register_vcpu_mem_inline(struct qemu_plugin_insn* insn,
                                          enum qemu_plugin_mem_rw rw,
                                          enum qemu_plugin_op op, void* counter,
                                          uint64_t add);

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;
static uint64_t instructions, accesses;

static void Translated(qemu_plugin_id_t id, struct qemu_plugin_tb* tb) {
  (void)id;
  const size_t count = qemu_plugin_tb_n_insns(tb);
  qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                           &instructions, count);
  for (size_t i = 0; i < count; i++) {
    qemu_plugin_register_vcpu_mem_inline(
        qemu_plugin_tb_get_insn(tb, i), QEMU_PLUGIN_MEM_RW,
        QEMU_PLUGIN_INLINE_ADD_U64, &accesses, 1);
  }
}

static void Ended(qemu_plugin_id_t id, void* data) {
  (void)id, (void)data;
  fprintf(stderr, "%lu instructions, %lu accesses\n", instructions, accesses);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id,
                                           const qemu_info_t* info, int argc,
                                           char** argv) {
  (void)info, (void)argc, (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, Translated);
  qemu_plugin_register_atexit_cb(id, Ended, NULL);
  return 0;
}
