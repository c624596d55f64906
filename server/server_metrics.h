// The metrics that are asked for at each scrape: queue, predictor, storage.
//
// Metrics::RemoveSources() must be called before what the context names goes.
//
//   AddServerMetrics(context, &metrics);
#ifndef PERFVEC_SERVER_SERVER_METRICS_H_
#define PERFVEC_SERVER_SERVER_METRICS_H_

#include "server/metrics.h"
#include "server/service_context.h"

namespace perfvec::server {

void AddServerMetrics(const ServiceContext& context, Metrics* metrics);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SERVER_METRICS_H_
