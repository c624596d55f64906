// The reference cores' parameters. Drawn at random, each group of columns by
// itself, from what out-of-order and in-order cores of one to five GHz have;
// of 128 drawn these 32 were kept, chosen one after the other so that the
// times of programs on other machines follow best from the runs on them
// (linearly, judged on families of programs left out). Constants only.
#ifndef PERFVEC_WORKER_FEATURES_REFERENCE_CORE_TABLE_H_
#define PERFVEC_WORKER_FEATURES_REFERENCE_CORE_TABLE_H_

namespace perfvec::compute {

struct ReferenceCore {
  bool in_order;
  int fetch_width, retire_width;  // instructions a cycle
  int window;                     // reorder buffer
  int loads, stores;              // queues
  int fetch_queue;
  int integers, vectors;  // renamed registers in flight; 0: no limit
  // Cycles: fetch to dispatch; resolved branch to fetch; fetch after a taken
  // branch to another target than the last; retired to reused; finished to
  // retired.
  int depth, refill, retarget, reuse, retire;
  int predictor;         // of ReferenceCores::Step::mispredicted
  int sets, ways;        // first cache, of data and of fetches alike
  int second_ways;       // of 1024 sets, for both
  bool second_excludes;  // it holds data lines only once they were written
  int near, middle;      // cycles: first cache, second cache more
  int far, row;          // 24ths of a cycle: memory; another row more
  int line;              // 24ths of a cycle that a line takes a channel
  int channels, banks;
  int misses;    // at a time
  int accesses;  // that may wait for one line
  int units;     // row of kUnitLatencies
};

// clang-format off
inline constexpr ReferenceCore kReferenceCores[] = {
    {false, 1, 3, 32, 32, 32, 40, 5, 4, 4, 4, 4, 3, 3, 2, 128, 3, 4, true, 4, 14, 1128, 576, 48, 2, 16, 32, 16, 0},
    {false, 3, 8, 32, 16, 16, 40, 5, 4, 7, 4, 3, 2, 3, 0, 256, 4, 4, true, 1, 14, 3888, 2160, 528, 4, 16, 8, 12, 0},
    {false, 6, 4, 32, 32, 16, 24, 5, 4, 8, 4, 4, 3, 3, 0, 128, 3, 32, false, 3, 18, 1200, 672, 84, 1, 16, 4, 8, 0},
    {false, 1, 4, 64, 8, 32, 40, 21, 20, 6, 4, 3, 2, 3, 0, 256, 4, 32, true, 4, 30, 6048, 3384, 396, 2, 16, 32, 16, 0},
    {false, 4, 4, 64, 32, 24, 24, 21, 20, 8, 4, 3, 3, 3, 0, 256, 4, 32, true, 3, 32, 4032, 2256, 264, 2, 8, 8, 12, 0},
    {false, 2, 8, 96, 32, 24, 40, 5, 52, 6, 3, 2, 3, 4, 0, 256, 4, 16, true, 4, 20, 4968, 2880, 468, 4, 8, 16, 8, 0},
    {false, 1, 4, 96, 8, 8, 40, 53, 20, 6, 3, 2, 2, 3, 2, 256, 4, 16, true, 4, 30, 4968, 2880, 468, 4, 8, 8, 20, 0},
    {false, 2, 2, 96, 32, 16, 24, 53, 4, 4, 4, 2, 3, 4, 0, 256, 4, 32, false, 2, 32, 1176, 624, 96, 4, 8, 16, 16, 0},
    {false, 2, 2, 96, 32, 8, 24, 53, 52, 6, 4, 3, 2, 4, 2, 256, 4, 16, true, 1, 24, 1704, 864, 480, 4, 8, 16, 8, 0},
    {false, 4, 6, 96, 32, 8, 40, 53, 4, 6, 3, 2, 3, 3, 0, 128, 3, 16, true, 2, 26, 3024, 1680, 204, 2, 16, 32, 20, 0},
    {false, 6, 6, 128, 8, 8, 40, 53, 52, 7, 3, 4, 3, 4, 2, 256, 4, 16, true, 4, 18, 4128, 2184, 396, 2, 8, 6, 8, 0},
    {false, 1, 8, 128, 16, 32, 40, 85, 20, 5, 3, 3, 2, 4, 2, 64, 2, 16, false, 4, 16, 4032, 2256, 264, 4, 16, 16, 12, 0},
    {false, 1, 6, 128, 24, 32, 40, 85, 4, 6, 3, 2, 2, 4, 0, 64, 2, 8, true, 3, 22, 2544, 1728, 480, 2, 8, 32, 20, 0},
    {false, 1, 6, 128, 24, 24, 40, 85, 52, 6, 4, 4, 3, 4, 2, 256, 4, 8, true, 3, 28, 2496, 1440, 384, 2, 16, 8, 8, 0},
    {false, 2, 8, 128, 16, 32, 40, 85, 84, 8, 4, 4, 3, 3, 2, 256, 4, 16, true, 1, 18, 6240, 3600, 480, 2, 8, 8, 20, 0},
    {false, 2, 8, 128, 16, 8, 40, 85, 4, 6, 3, 2, 2, 3, 1, 128, 3, 32, true, 1, 32, 3888, 2160, 528, 4, 16, 4, 20, 0},
    {false, 4, 2, 128, 24, 8, 24, 85, 84, 7, 3, 3, 3, 3, 2, 64, 2, 16, true, 2, 36, 4728, 2880, 396, 4, 8, 21, 32, 0},
    {false, 4, 4, 128, 16, 32, 24, 85, 84, 8, 3, 4, 4, 4, 2, 128, 3, 32, false, 2, 24, 1128, 576, 48, 1, 16, 4, 16, 0},
    {false, 2, 2, 160, 8, 8, 24, 5, 20, 6, 3, 2, 3, 3, 0, 256, 4, 8, true, 1, 28, 5976, 3120, 456, 2, 8, 16, 8, 0},
    {false, 6, 8, 160, 32, 32, 40, 5, 116, 7, 4, 4, 3, 4, 2, 256, 2, 16, false, 2, 28, 3120, 1800, 240, 4, 8, 16, 12, 0},
    {false, 4, 4, 160, 16, 8, 40, 21, 4, 6, 3, 2, 2, 3, 2, 256, 4, 4, true, 4, 14, 3312, 1800, 900, 4, 8, 8, 12, 0},
    {false, 2, 4, 192, 24, 24, 40, 5, 52, 6, 4, 3, 3, 4, 2, 128, 3, 16, false, 2, 26, 3984, 2088, 300, 1, 8, 32, 20, 0},
    {false, 1, 4, 192, 8, 32, 40, 21, 116, 6, 3, 4, 2, 3, 0, 256, 4, 32, false, 1, 36, 1248, 720, 192, 1, 16, 4, 16, 0},
    {false, 4, 8, 192, 16, 24, 40, 21, 116, 6, 3, 4, 2, 3, 0, 64, 2, 16, false, 3, 16, 3120, 1800, 240, 2, 8, 8, 8, 0},
    {false, 1, 8, 192, 16, 8, 40, 117, 116, 5, 3, 2, 4, 3, 2, 256, 4, 4, true, 3, 14, 2976, 1728, 276, 2, 8, 4, 8, 0},
    {false, 3, 3, 192, 8, 32, 24, 117, 116, 8, 3, 2, 3, 3, 0, 256, 4, 8, true, 4, 26, 6048, 3384, 396, 2, 8, 16, 16, 0},
    {false, 3, 8, 192, 32, 8, 40, 117, 52, 5, 4, 4, 4, 3, 2, 64, 2, 4, true, 2, 14, 2424, 1344, 156, 2, 16, 4, 20, 2},
    {true, 1, 2, 12, 2, 8, 12, 0, 0, 4, 2, 3, 0, 0, 0, 256, 4, 32, true, 3, 26, 2424, 1344, 156, 2, 16, 4, 4, 1},
    {true, 1, 2, 12, 2, 8, 12, 0, 0, 4, 2, 3, 0, 0, 0, 64, 2, 4, false, 1, 14, 4224, 2880, 804, 2, 8, 3, 8, 1},
    {true, 1, 1, 12, 2, 8, 12, 0, 0, 4, 3, 3, 0, 0, 0, 64, 2, 16, true, 4, 24, 3120, 1800, 240, 4, 8, 3, 8, 1},
    {true, 3, 1, 12, 2, 8, 12, 0, 0, 4, 2, 3, 0, 0, 2, 64, 2, 8, true, 2, 20, 4224, 2880, 804, 2, 8, 4, 8, 1},
    {true, 3, 1, 12, 2, 8, 12, 0, 0, 4, 2, 3, 0, 0, 2, 256, 4, 8, true, 1, 20, 6048, 3384, 396, 1, 8, 3, 8, 1},
};
// clang-format on

// Cycles: integer multiply, divide; float add, compare and convert; multiply;
// multiply-add; divide; other; root; SIMD integer; SIMD float; load or store
// before the cache. All else takes 1.
inline constexpr int kUnitLatencies[][11] = {
    {3, 20, 2, 4, 5, 12, 3, 24, 1, 1, 1},
    {3, 9, 4, 4, 4, 4, 4, 4, 4, 4, 1},
    {5, 12, 9, 9, 9, 29, 4, 29, 4, 9, 2},
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_REFERENCE_CORE_TABLE_H_
