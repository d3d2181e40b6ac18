/* Counters and gauges as OpenMetrics text (the exposition format of 1.0.0). */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "daemon/loop.h"

/* On the heap; NULL: out of memory. */
char *metrics_text(struct loop *loop);

#endif
