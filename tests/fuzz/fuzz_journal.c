/* Plans of journals: what reads as one is sound and is written as the same
 * bytes again. */
#include "daemon/journal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_sound(const struct journal_plan *plan)
{
    for (uint32_t i = 0, keep = 0; i < plan->step_count; i++) {
        uint64_t offset, bytes = journal_step_range(plan, i, &offset);
        if (!bytes || bytes > plan->step_bytes ||
            offset + bytes > plan->target_size)
            abort();
        for (; keep < plan->steps[i].keep_end; keep++)
            if (plan->keeps[keep].offset < offset ||
                plan->keeps[keep].offset + plan->keeps[keep].size >
                    offset + bytes ||
                plan->keeps[keep].offset + plan->keeps[keep].size >
                    plan->base_size)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_plan plan;
    struct writer wr;
    if (journal_plan_parse(bytes_of(data, size), &plan))
        return 0;
    check_sound(&plan);
    writer_init_heap(&wr, size + 1);
    journal_plan_write(&plan, &wr);
    if (!bytes_equal(writer_view(&wr), bytes_of(data, size)))
        abort();
    writer_deinit(&wr);
    journal_plan_free(&plan);
    return 0;
}
