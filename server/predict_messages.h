// Keeps the messages of answered Predict calls for the next ones, so that their
// strings are not allocated anew: a tenth of the call's own time.
//
// Given to gRPC by PredictionService; any thread. Each thread keeps at most 64
// pairs of ordinary size; others are freed.
//
//   SetMessageAllocatorFor_Predict(&messages_);
#ifndef PERFVEC_SERVER_PREDICT_MESSAGES_H_
#define PERFVEC_SERVER_PREDICT_MESSAGES_H_

#include <grpcpp/support/message_allocator.h>

#include "perfvec/v1/prediction_service.pb.h"

namespace perfvec::server {

class PredictMessages final
    : public grpc::MessageAllocator<v1::PredictRequest, v1::PredictResponse> {
 public:
  using Holder = grpc::MessageHolder<v1::PredictRequest, v1::PredictResponse>;
  Holder* AllocateMessages() override;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICT_MESSAGES_H_
