/* Records: whatever parses is written again as the same bytes, and trust takes
 * any bytes without harm and keeps what it says it takes. */
#include "protocol/record.h"
#include "protocol/trust.h"
#include "tests/support/fleet.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_parse(struct bytes in)
{
    static uint8_t payload[LIMIT_RECORD_BYTES];
    struct record rec;
    struct diag diag = {0};
    struct writer wr;
    if (record_parse(in, &rec, &diag)) {
        if (!diag.text[0])
            abort();
        return;
    }
    writer_init(&wr, payload, sizeof(payload));
    if (record_build_payload(&rec.f, &wr) ||
        !bytes_equal(writer_view(&wr), rec.envelope.payload))
        abort();
}

/* The fleet of the corpus: seed 1. */
static struct trust *new_trust(void)
{
    struct fleet f;
    struct fleet_bytes first;
    struct trust *t;
    struct trust_verdict v;
    struct trust_changes changes;
    fleet_init_small(&f, 1, &first);
    trust_changes_init(&changes);
    if (trust_new(&f.id, &t) || trust_consider(t, fleet_view(&first), &v) ||
        !trust_accepted(&v) || trust_commit(t, &v, &changes))
        abort();
    trust_verdict_deinit(&v);
    trust_changes_deinit(&changes);
    return t;
}

/* Each of the envelopes in a sequence, as a store would give them back. */
static void try_trust(struct bytes in)
{
    struct trust *t = new_trust();
    struct trust_changes changes;
    trust_changes_init(&changes);
    size_t before = trust_slot_count(t);
    struct trust_verdict v;
    if (trust_consider(t, in, &v))
        abort();
    if (trust_accepted(&v) && trust_commit(t, &v, &changes))
        abort();
    if (trust_slot_count(t) < before)
        abort();
    trust_verdict_deinit(&v);
    if (!trust_load(t, in) && trust_load_end(t, &changes))
        abort();
    (void)trie_root(trust_trie(t, TRUST_TRIE_CONTROL));
    trust_changes_deinit(&changes);
    trust_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_parse(bytes_of(data, size));
    try_trust(bytes_of(data, size));
    return 0;
}
