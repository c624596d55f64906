#include "worker/represent/lstm_kernel_avx512.h"

namespace perfvec::compute {

const LstmKernel kLstmKernelAvx512 = MakeKernel<Avx512>("avx512");

}  // namespace perfvec::compute
