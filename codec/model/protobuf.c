/* Tags, varints and skipping. */
#include "codec/model/protobuf.h"

void protobuf_init(struct protobuf *pb, struct scan *scan, uint64_t offset,
                   uint64_t size, struct diag *diag)
{
    *pb = (struct protobuf){scan, diag, offset, offset + size, STATUS_OK};
}

struct protobuf protobuf_sub(const struct protobuf *pb,
                             const struct protobuf_field *field)
{
    struct protobuf sub;
    protobuf_init(&sub, pb->scan, field->offset, field->value, pb->diag);
    return sub;
}

static void protobuf_fail(struct protobuf *pb, enum status status,
                          const char *what)
{
    if (!pb->status)
        pb->status = diag_fail(pb->diag, status, "protobuf, at offset %llu: %s",
                               (unsigned long long)pb->pos, what);
}

static uint64_t protobuf_left(const struct protobuf *pb)
{
    return pb->status ? 0 : pb->end - pb->pos;
}

static void protobuf_read(struct protobuf *pb, void *out, size_t size)
{
    enum status status = scan_read(pb->scan, pb->pos, out, size);
    if (status)
        pb->status = status;
}

static uint64_t protobuf_long_varint(struct protobuf *pb)
{
    uint8_t buf[10];
    uint64_t value = 0, left = protobuf_left(pb);
    size_t size = left < sizeof(buf) ? (size_t)left : sizeof(buf);
    protobuf_read(pb, buf, size);
    for (size_t i = 0; i < size && !pb->status; i++) {
        if (i == 9 && buf[i] > 1)
            break;
        value |= (uint64_t)(buf[i] & 0x7f) << (7 * i);
        if (buf[i] & 0x80)
            continue;
        pb->pos += i + 1;
        return value;
    }
    if (size < sizeof(buf))
        protobuf_fail(pb, STATUS_TRUNCATED, "a number ends early");
    else
        protobuf_fail(pb, STATUS_CORRUPT, "a number has more than 64 bits");
    return 0;
}

static uint64_t protobuf_varint(struct protobuf *pb)
{
    uint8_t byte;
    if (!protobuf_left(pb) || !scan_held_byte(pb->scan, pb->pos, &byte) ||
        byte & 0x80)
        return protobuf_long_varint(pb);
    pb->pos++;
    return byte;
}

bool protobuf_next_varint(struct protobuf *pb, uint64_t *value)
{
    if (!protobuf_left(pb))
        return false;
    *value = protobuf_varint(pb);
    return !pb->status;
}

static uint64_t protobuf_fixed(struct protobuf *pb, size_t size)
{
    uint8_t buf[8] = {0};
    if (protobuf_left(pb) < size) {
        protobuf_fail(pb, STATUS_TRUNCATED, "a fixed number ends early");
        return 0;
    }
    protobuf_read(pb, buf, size);
    pb->pos += size;
    return load_le64(buf);
}

static void protobuf_length(struct protobuf *pb, struct protobuf_field *field)
{
    uint64_t size = protobuf_varint(pb);
    if (pb->status)
        return;
    if (size > protobuf_left(pb)) {
        protobuf_fail(pb, STATUS_TRUNCATED,
                      "a length reaches past the end of its message");
        return;
    }
    field->value = size;
    field->offset = pb->pos;
    pb->pos += size;
}

/* Any field; of a group only its begin or end. */
static bool protobuf_step(struct protobuf *pb, struct protobuf_field *field)
{
    if (!protobuf_left(pb))
        return false;
    uint64_t tag = protobuf_varint(pb);
    if (pb->status)
        return false;
    if (tag >> 32 || !(tag >> 3)) {
        protobuf_fail(pb, STATUS_CORRUPT, "no such field number");
        return false;
    }
    *field = (struct protobuf_field){.number = (uint32_t)(tag >> 3),
                                     .wire = (enum protobuf_wire)(tag & 7)};
    switch (field->wire) {
    case PROTOBUF_VARINT:
        field->value = protobuf_varint(pb);
        break;
    case PROTOBUF_FIXED64:
        field->value = protobuf_fixed(pb, 8);
        break;
    case PROTOBUF_FIXED32:
        field->value = protobuf_fixed(pb, 4);
        break;
    case PROTOBUF_BYTES:
        protobuf_length(pb, field);
        break;
    case PROTOBUF_GROUP:
    case PROTOBUF_GROUP_END:
        break;
    default:
        protobuf_fail(pb, STATUS_CORRUPT, "no such wire type");
    }
    return !pb->status;
}

/* Behind the end of the group whose begin has been read. */
static bool protobuf_skip_group(struct protobuf *pb, uint32_t number)
{
    uint32_t open[PROTOBUF_GROUPS_MAX] = {number};
    size_t depth = 1;
    struct protobuf_field field;
    while (depth) {
        if (!protobuf_step(pb, &field)) {
            protobuf_fail(pb, STATUS_TRUNCATED, "a group does not end");
            return false;
        }
        if (field.wire == PROTOBUF_GROUP) {
            if (depth == PROTOBUF_GROUPS_MAX) {
                protobuf_fail(pb, STATUS_LIMIT, "groups are nested too deep");
                return false;
            }
            open[depth++] = field.number;
        } else if (field.wire == PROTOBUF_GROUP_END &&
                   field.number != open[--depth]) {
            protobuf_fail(pb, STATUS_CORRUPT, "another group ends here");
            return false;
        }
    }
    return true;
}

bool protobuf_next(struct protobuf *pb, struct protobuf_field *field)
{
    while (protobuf_step(pb, field)) {
        if (field->wire == PROTOBUF_GROUP_END) {
            protobuf_fail(pb, STATUS_CORRUPT, "a group ends that none began");
            return false;
        }
        if (field->wire != PROTOBUF_GROUP)
            return true;
        if (!protobuf_skip_group(pb, field->number))
            return false;
    }
    return false;
}
