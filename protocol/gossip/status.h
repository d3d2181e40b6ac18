/* When the node tells the fleet how it is: soon after a change, else on a slow
 * beat, and never more than its budget of bytes.
 *
 * Ref: PROTOCOL.md, "Status". */
#ifndef PROTOCOL_GOSSIP_STATUS_H
#define PROTOCOL_GOSSIP_STATUS_H

#include "protocol/quota.h"

#define STATUS_BYTES_S     256u /* of status records sent, all links together */
#define STATUS_BURST       32768u       /* bytes at once after a quiet time */
#define STATUS_SETTLE_NS   200000000ull /* changes within are one */
#define STATUS_BEAT_NS     900000000000ull /* 15 min */
#define STATUS_WRITE_BURST 8192u /* of own records, at STATUS_BYTES_S */

struct status_beat {
    uint64_t due_ns;
    bool change;         /* due for a change, not for the beat */
    struct quota write;  /* own records */
    struct quota send;   /* pushed, all links together */
    uint64_t last_bytes; /* size of the last own record */
};

void status_beat_init(struct status_beat *beat, uint64_t now_ns);

/* Something worth telling changed. */
void status_beat_changed(struct status_beat *beat, uint64_t now_ns);

/* When the next record may be written; UINT64_MAX never happens. */
uint64_t status_beat_due_ns(struct status_beat *beat, uint64_t now_ns);

/* One was written; the next beat is after STATUS_BEAT_NS and jitter_ns. */
void status_beat_written(struct status_beat *beat, uint64_t bytes,
                         uint64_t jitter_ns, uint64_t now_ns);

#endif
