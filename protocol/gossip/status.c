/* The beat and its budget. */
#include "protocol/gossip/status.h"

void status_beat_init(struct status_beat *beat, uint64_t now_ns)
{
    *beat = (struct status_beat){.due_ns = now_ns, .change = true};
    quota_init(&beat->write, STATUS_BYTES_S, STATUS_WRITE_BURST, now_ns);
    quota_init(&beat->send, STATUS_BYTES_S, STATUS_BURST, now_ns);
    beat->last_bytes = STATUS_BYTES_S;
}

void status_beat_changed(struct status_beat *beat, uint64_t now_ns)
{
    if (beat->change)
        return;
    beat->change = true;
    beat->due_ns = now_ns + STATUS_SETTLE_NS;
}

uint64_t status_beat_due_ns(struct status_beat *beat, uint64_t now_ns)
{
    uint64_t paid = quota_ready_ns(&beat->write, beat->last_bytes, now_ns);
    return paid > beat->due_ns ? paid : beat->due_ns;
}

void status_beat_written(struct status_beat *beat, uint64_t bytes,
                         uint64_t jitter_ns, uint64_t now_ns)
{
    (void)quota_take(&beat->write, bytes, now_ns);
    beat->last_bytes = bytes;
    beat->change = false;
    beat->due_ns = now_ns + STATUS_BEAT_NS + jitter_ns;
}
