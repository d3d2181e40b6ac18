/* Statuses, sources, sinks and growing structures of the public face. */
#include "codec/api/adapt.h"

#include <assert.h>

#define ADAPT_SAME(name)                                 \
    static_assert((int)DMC_##name == (int)STATUS_##name, \
                  "public statuses are ours")

ADAPT_SAME(OK);
ADAPT_SAME(TRUNCATED);
ADAPT_SAME(CORRUPT);
ADAPT_SAME(UNSUPPORTED);
ADAPT_SAME(LIMIT);
ADAPT_SAME(NO_MEMORY);
ADAPT_SAME(NO_SPACE);
ADAPT_SAME(IO);
ADAPT_SAME(NOT_FOUND);
ADAPT_SAME(MISMATCH);
ADAPT_SAME(BAD_BASE);
ADAPT_SAME(CLOSED);
ADAPT_SAME(USAGE);
ADAPT_SAME(INTERNAL);

enum status adapt_answer(int answer)
{
    return answer > 0 ? STATUS_IO : (enum status)answer;
}

static enum status adapt_read(void *ctx, uint64_t offset, void *out,
                              size_t size)
{
    const struct adapt_source *adapt = ctx;
    return adapt_answer(adapt->from.read(adapt->from.ctx, offset, out, size));
}

enum status adapt_source_init(struct adapt_source *adapt,
                              const struct dmc_source *from, struct diag *diag)
{
    if (!from || (!from->read && !from->ctx && from->size) ||
        (!from->read && from->size > SIZE_MAX))
        return diag_fail(diag, STATUS_USAGE, "a source is missing");
    adapt->from = *from;
    adapt->source =
        from->read ? (struct source){adapt_read, adapt, from->size}
                   : source_of_bytes(bytes_of(from->ctx, (size_t)from->size));
    return STATUS_OK;
}

enum status adapt_sink_check(const struct dmc_sink *sink, struct diag *diag)
{
    return sink && sink->write
               ? STATUS_OK
               : diag_fail(diag, STATUS_USAGE, "a sink is missing");
}

enum status adapt_write(const struct dmc_sink *sink, struct bytes bytes)
{
    if (!bytes.size)
        return STATUS_OK;
    return adapt_answer(sink->write(sink->ctx, bytes.data, bytes.size));
}

enum dmc_status adapt_end(enum status status, const struct diag *diag,
                          struct dmc_error *error)
{
    if (!error)
        return (enum dmc_status)status;
    error->text[0] = '\0';
    if (status) {
        const char *text =
            diag && diag->text[0] ? diag->text : status_text(status);
        size_t size = strnlen(text, sizeof(error->text) - 1);
        memcpy(error->text, text, size);
        error->text[size] = '\0';
    }
    return (enum dmc_status)status;
}

enum status adapt_params(const void *in, size_t least, void *out, size_t known,
                         struct diag *diag)
{
    size_t given = 0;
    if (in)
        memcpy(&given, in, sizeof(given));
    if (given < least)
        return diag_fail(diag, STATUS_USAGE,
                         "parameters are missing, or their struct_size is not "
                         "set");
    for (size_t i = known; i < given; i++)
        if (((const uint8_t *)in)[i])
            return diag_fail(diag, STATUS_UNSUPPORTED,
                             "a parameter of a newer library is set");
    memset(out, 0, known);
    memcpy(out, in, given < known ? given : known);
    return STATUS_OK;
}

enum status adapt_result(const void *from, size_t known, size_t least,
                         void *out)
{
    size_t given;
    memcpy(&given, out, sizeof(given));
    if (given < least)
        return STATUS_USAGE;
    memset((uint8_t *)out + sizeof(given), 0, given - sizeof(given));
    memcpy((uint8_t *)out + sizeof(given),
           (const uint8_t *)from + sizeof(given),
           (given < known ? given : known) - sizeof(given));
    return STATUS_OK;
}
