/* Factor sets: choice of widths and tables, encoder and decoder, which share
 * how a number is cut into symbol and raw bits. */
#include "codec/lossless/factors.h"

#include "codec/base/bits.h"
#include "codec/entropy/rans.h"

#include <stdlib.h>

#define TABLES_MAX  4u
#define TABLE_BITS  2u
#define WIDTH_MAX   15u
#define BLOCK       RANS_BLOCK_MAX
#define BLOCK_BYTES (BLOCK * 2) /* most raw bytes of a block */
#define LOAD_SLACK  8u
/* Symbols are bins -15 .. 15 of 2^width numbers each, then the escape. */
#define BIN_MAX     15
#define ESCAPE_BITS 16u

/* Components of u, then of v. */
#define PARTS_MAX (2u * FACTORS_RANK_MAX)

struct part {
    uint8_t width;
    uint8_t table;
};

struct set {
    unsigned rank;
    size_t u_count, count;
    unsigned table_count;
    struct part part[PARTS_MAX];
    struct freq_table table[TABLES_MAX];
};

bool factors_shape_ok(unsigned rank, uint64_t rows, uint32_t columns)
{
    return rank && rank <= FACTORS_RANK_MAX && rows && columns &&
           rows <= FACTORS_COUNT_MAX &&
           (rows + columns) * rank <= FACTORS_COUNT_MAX;
}

size_t factors_count(unsigned rank, uint64_t rows, uint32_t columns)
{
    return (size_t)((rows + columns) * rank);
}

static inline unsigned sym_of(int16_t value, unsigned width)
{
    int bin = (value >> width) + BIN_MAX;
    return bin >= 0 && bin <= 2 * BIN_MAX ? (unsigned)bin : FREQ_SYM_ESCAPE;
}

/* The numbers of one component: every rank-th of count, from the first. */
struct column {
    const int16_t *first;
    size_t count;
};

static struct column column_of(const struct set *set, unsigned part,
                               const int16_t *u, const int16_t *v)
{
    bool is_v = part >= set->rank;
    size_t count = is_v ? set->count - set->u_count : set->u_count;
    return (struct column){(is_v ? v : u) + part % set->rank,
                           count / set->rank};
}

static void count_syms(const struct set *set, struct column column,
                       unsigned width, uint64_t hist[FREQ_SYMS])
{
    memset(hist, 0, FREQ_SYMS * sizeof(*hist));
    for (size_t i = 0; i < column.count; i++)
        hist[sym_of(column.first[i * set->rank], width)]++;
}

static uint64_t raw_bits(const uint64_t hist[FREQ_SYMS], size_t count,
                         unsigned width)
{
    uint64_t escapes = hist[FREQ_SYM_ESCAPE];
    return (count - escapes) * width + escapes * ESCAPE_BITS;
}

/* The width for which symbols and raw bits are fewest, and its histogram. */
static void choose_width(const struct set *set, struct column column,
                         struct part *part, uint64_t best_hist[FREQ_SYMS])
{
    uint64_t sum = 0, best = UINT64_MAX;
    for (size_t i = 0; i < column.count; i++)
        sum += (uint64_t)abs(column.first[i * set->rank]);
    uint64_t mean = sum / column.count;
    unsigned least = 0;
    while (least < WIDTH_MAX && mean >> least >= 4)
        least++;
    unsigned most = least + 2 < WIDTH_MAX ? least + 2 : WIDTH_MAX;
    for (unsigned width = least; width <= most; width++) {
        uint64_t hist[FREQ_SYMS];
        count_syms(set, column, width, hist);
        uint64_t cost =
            freq_entropy(hist) + (raw_bits(hist, column.count, width) << 16);
        if (cost >= best)
            continue;
        best = cost;
        part->width = (uint8_t)width;
        memcpy(best_hist, hist, sizeof(hist));
    }
}

typedef uint64_t part_hists[PARTS_MAX][FREQ_SYMS];

/* Tables from the histograms of the parts that use them. */
static void make_tables(struct set *set, const part_hists hists)
{
    for (unsigned t = 0; t < set->table_count; t++) {
        uint64_t sum[FREQ_SYMS] = {0};
        for (unsigned k = 0; k < 2 * set->rank; k++)
            for (unsigned s = 0; s < FREQ_SYMS && set->part[k].table == t; s++)
                sum[s] += hists[k][s];
        freq_normalise(sum, &set->table[t]);
    }
}

/* Gives each part its cheapest table; returns the cost of all, the tables
 * included, in 1/65536 bit. */
static uint64_t assign_tables(struct set *set, const part_hists hists)
{
    uint32_t cost[TABLES_MAX][FREQ_SYMS];
    uint64_t total = 0;
    for (unsigned t = 0; t < set->table_count; t++) {
        freq_costs(&set->table[t], ESCAPE_BITS, cost[t]);
        total += (uint64_t)freq_bits(&set->table[t]) << 16;
    }
    for (unsigned k = 0; k < 2 * set->rank; k++) {
        uint64_t best = UINT64_MAX;
        for (unsigned t = 0; t < set->table_count; t++) {
            uint64_t sum = 0;
            for (unsigned s = 0; s < FREQ_SYMS; s++)
                sum += hists[k][s] * cost[t][s];
            if (sum < best) {
                best = sum;
                set->part[k].table = (uint8_t)t;
            }
        }
        total += best;
    }
    return total;
}

/* How narrow a histogram is: the share of its middle three symbols. */
static uint64_t peak_of(const uint64_t hist[FREQ_SYMS])
{
    uint64_t total = 1, middle = 0;
    for (unsigned s = 0; s < FREQ_SYMS; s++) {
        total += hist[s];
        middle += s + 2 >= BIN_MAX && s <= BIN_MAX + 1 ? hist[s] : 0;
    }
    return middle * 1024 / total;
}

/* Parts split evenly by peak as a start. */
static void spread_tables(struct set *set, const part_hists hists)
{
    uint64_t peak[PARTS_MAX];
    for (unsigned k = 0; k < 2 * set->rank; k++)
        peak[k] = peak_of(hists[k]);
    for (unsigned k = 0; k < 2 * set->rank; k++) {
        unsigned below = 0;
        for (unsigned j = 0; j < 2 * set->rank; j++)
            below += peak[j] < peak[k] || (peak[j] == peak[k] && j < k);
        set->part[k].table =
            (uint8_t)(below * set->table_count / (2 * set->rank));
    }
}

static void plan_set(struct set *set, const int16_t *u, const int16_t *v)
{
    part_hists hists;
    uint64_t best = UINT64_MAX;
    struct set tried = *set;
    for (unsigned k = 0; k < 2 * set->rank; k++)
        choose_width(set, column_of(set, k, u, v), &tried.part[k], hists[k]);
    for (unsigned count = 1; count <= TABLES_MAX && count <= 2 * set->rank;
         count *= 2) {
        tried.table_count = count;
        spread_tables(&tried, hists);
        make_tables(&tried, hists);
        (void)assign_tables(&tried, hists);
        make_tables(&tried, hists);
        uint64_t cost = assign_tables(&tried, hists);
        if (cost < best) {
            best = cost;
            *set = tried;
        }
    }
}

static uint32_t zigzag(int value)
{
    return value < 0 ? (uint32_t)(-2 * value - 1) : (uint32_t)(2 * value);
}

static void write_head(const struct set *set, struct writer *wr)
{
    struct bit_writer bw;
    bit_writer_init(&bw, wr);
    bit_writer_put(&bw, set->table_count - 1, TABLE_BITS);
    for (unsigned t = 0; t < set->table_count; t++)
        freq_write(&set->table[t], &bw);
    int before = 0;
    for (unsigned k = 0; k < 2 * set->rank; k++) {
        bit_writer_gamma(&bw, zigzag(set->part[k].width - before) + 1);
        if (set->table_count > 1)
            bit_writer_put(&bw, set->part[k].table, TABLE_BITS);
        before = set->part[k].width;
    }
    bit_writer_finish(&bw);
}

static void read_head(struct reader *rd, struct set *set)
{
    struct bit_reader br;
    bit_reader_init(&br, rd);
    set->table_count = bit_reader_get(&br, TABLE_BITS) + 1;
    for (unsigned t = 0; t < set->table_count; t++)
        freq_read(&br, &set->table[t]);
    int width = 0;
    for (unsigned k = 0; k < 2 * set->rank; k++) {
        uint32_t zz = bit_reader_gamma(&br) - 1;
        width += zz & 1 ? -(int)(zz / 2) - 1 : (int)(zz / 2);
        set->part[k].table = 0;
        if (set->table_count > 1)
            set->part[k].table = (uint8_t)bit_reader_get(&br, TABLE_BITS);
        if (width < 0 || width > (int)WIDTH_MAX ||
            set->part[k].table >= set->table_count)
            reader_fail(rd, STATUS_CORRUPT);
        if (reader_status(rd))
            return;
        set->part[k].width = (uint8_t)width;
    }
    bit_reader_finish(&br);
}

/* Small sets do not pay for many states. */
static unsigned lane_code_for(size_t count)
{
    return count < 256 ? 0 : (count < 2048 ? 1 : (count < 8192 ? 2 : 3));
}

/* Symbols to syms, raw bits to raw; returns the bytes of raw. */
static size_t cut(const struct set *set, const int16_t *u, const int16_t *v,
                  uint16_t *syms, uint8_t *raw)
{
    uint64_t acc = 0;
    unsigned fill = 0;
    size_t size = 0;
    for (size_t i = 0; i < set->count; i++) {
        bool is_v = i >= set->u_count;
        const struct part *part =
            &set->part[i % set->rank + (is_v ? set->rank : 0)];
        int16_t value = is_v ? v[i - set->u_count] : u[i];
        unsigned sym = sym_of(value, part->width), bits = part->width;
        if (sym == FREQ_SYM_ESCAPE || !set->table[part->table].freq[sym]) {
            sym = FREQ_SYM_ESCAPE;
            bits = ESCAPE_BITS;
        }
        syms[i] = (uint16_t)(part->table * FREQ_SYMS + sym);
        acc |= (uint64_t)((uint16_t)value & ((1u << bits) - 1)) << fill;
        for (fill += bits; fill >= 8; fill -= 8, acc >>= 8)
            raw[size++] = (uint8_t)acc;
    }
    if (fill)
        raw[size++] = (uint8_t)acc;
    return size;
}

static void write_stream(const struct set *set, const uint16_t *syms,
                         uint8_t *words, struct bytes raw, struct writer *wr)
{
    struct rans_enc_table tables[TABLES_MAX];
    uint32_t state[RANS_LANES_MAX];
    unsigned lane_code = lane_code_for(set->count);
    for (unsigned t = 0; t < set->table_count; t++)
        rans_enc_table_init(&tables[t], &set->table[t]);
    uint8_t *end = words + 2 * (set->count + 1);
    uint8_t *first = rans_encode(tables, syms, set->count,
                                 rans_lane_count(lane_code), end, state);
    size_t size = (size_t)(end - first);
    writer_varint(wr, size / 2 * RANS_LANE_CODES + lane_code);
    writer_varint(wr, raw.size);
    for (unsigned i = 0; i < rans_lane_count(lane_code); i++)
        writer_le32(wr, state[i]);
    writer_bytes(wr, first, size);
    writer_bytes(wr, raw.data, raw.size);
}

static void set_init(struct set *set, unsigned rank, uint64_t rows,
                     uint32_t columns)
{
    memset(set, 0, sizeof(*set));
    set->rank = rank;
    set->u_count = (size_t)rows * rank;
    set->count = factors_count(rank, rows, columns);
}

enum status factors_write(unsigned rank, uint64_t rows, uint32_t columns,
                          const int16_t *u, const int16_t *v, struct writer *wr)
{
    if (!factors_shape_ok(rank, rows, columns))
        return STATUS_USAGE;
    struct set set;
    set_init(&set, rank, rows, columns);
    uint16_t *syms = malloc(set.count * sizeof(*syms));
    uint8_t *words = malloc(2 * (set.count + 1));
    uint8_t *raw = malloc(2 * set.count + 1);
    enum status status = STATUS_NO_MEMORY;
    if (syms && words && raw) {
        plan_set(&set, u, v);
        write_head(&set, wr);
        size_t size = cut(&set, u, v, syms, raw);
        write_stream(&set, syms, words, bytes_of(raw, size), wr);
        status = writer_status(wr);
    }
    free(syms);
    free(words);
    free(raw);
    return status;
}

struct decoder {
    struct set set;
    struct rans_dec rans;
    const uint8_t *raw;
    size_t raw_pos, raw_bits;
    bool raw_in_tail;
    uint16_t ctx[BLOCK];
    uint8_t width[BLOCK];
    uint8_t syms[BLOCK];
    uint8_t tail[2 * (BLOCK_BYTES + LOAD_SLACK)];
    struct rans_dec_table tables[TABLES_MAX];
};

static void begin_stream(struct decoder *dec, struct reader *rd)
{
    uint64_t head = reader_varint(rd);
    uint64_t raw_bytes = reader_varint(rd);
    unsigned lane_code = (unsigned)(head % RANS_LANE_CODES);
    uint64_t word_count = head / RANS_LANE_CODES;
    struct bytes state = reader_bytes(rd, 4 * rans_lane_count(lane_code));
    if (word_count > reader_left(rd) / 2 ||
        raw_bytes > reader_left(rd) - 2 * word_count)
        reader_fail(rd, STATUS_TRUNCATED);
    if (reader_status(rd))
        return;
    struct bytes words = reader_bytes(rd, (size_t)word_count * 2);
    struct bytes raw = reader_bytes(rd, (size_t)raw_bytes);
    dec->raw = raw.data;
    dec->raw_bits = raw.size * 8;
    enum status status = rans_dec_begin(&dec->rans, lane_code, state.data,
                                        words.data, (size_t)word_count);
    if (status)
        reader_fail(rd, status);
}

/* Raw bits that might run out in the next block move to the tail, where zeros
 * follow, so that the loop needs no test. */
static void prepare_raw(struct decoder *dec)
{
    size_t at = dec->raw_pos / 8, left = dec->raw_bits / 8 - at;
    if (dec->raw_in_tail || left >= BLOCK_BYTES + LOAD_SLACK)
        return;
    memset(dec->tail, 0, sizeof(dec->tail));
    if (left)
        memcpy(dec->tail, dec->raw + at, left);
    dec->raw = dec->tail;
    dec->raw_bits = left * 8;
    dec->raw_pos %= 8;
    dec->raw_in_tail = true;
}

/* count <= BLOCK numbers whose contexts are set; false past the raw bits. */
static bool decode_block(struct decoder *dec, int16_t *out, size_t count)
{
    prepare_raw(dec);
    rans_dec_syms(&dec->rans, dec->tables, dec->ctx, dec->syms, count);
    size_t pos = dec->raw_pos;
    for (size_t i = 0; i < count; i++) {
        bool escape = dec->syms[i] == FREQ_SYM_ESCAPE;
        unsigned bits = escape ? ESCAPE_BITS : dec->width[i];
        uint32_t low = load_le32(dec->raw + pos / 8) >> pos % 8;
        low &= ((uint32_t)1 << bits) - 1;
        pos += bits;
        uint32_t high = escape ? 0 : (uint32_t)(dec->syms[i] - BIN_MAX);
        out[i] = (int16_t)(uint16_t)((high << bits) + low);
    }
    dec->raw_pos = pos;
    return pos <= dec->raw_bits;
}

/* rank divides count. Blocks are whole rows, so that the contexts of one serve
 * all. */
static bool decode_part(struct decoder *dec, const struct part *part,
                        int16_t *out, size_t count)
{
    unsigned rank = dec->set.rank;
    size_t block = BLOCK / rank * rank;
    block = block < count ? block : count;
    for (size_t i = 0; i < block; i += rank) {
        for (unsigned k = 0; k < rank; k++) {
            dec->ctx[i + k] = (uint16_t)(part[k].table << RANS_TABLE_SHIFT);
            dec->width[i + k] = part[k].width;
        }
    }
    for (; count; out += block) {
        size_t now = count < block ? count : block;
        if (!decode_block(dec, out, now))
            return false;
        count -= now;
    }
    return true;
}

static enum status finish_stream(const struct decoder *dec)
{
    enum status status = rans_dec_finish(&dec->rans);
    if (status)
        return status;
    size_t left = dec->raw_bits - dec->raw_pos;
    if (left >= 8 || (left && dec->raw[dec->raw_pos / 8] >> (dec->raw_pos % 8)))
        return STATUS_CORRUPT;
    return STATUS_OK;
}

static enum status decode(struct decoder *dec, struct reader *rd, int16_t *u,
                          int16_t *v)
{
    struct set *set = &dec->set;
    read_head(rd, set);
    if (!reader_status(rd))
        begin_stream(dec, rd);
    if (reader_status(rd))
        return reader_status(rd);
    for (unsigned t = 0; t < set->table_count; t++)
        rans_dec_table_init(&dec->tables[t], &set->table[t]);
    if (!decode_part(dec, set->part, u, set->u_count) ||
        !decode_part(dec, set->part + set->rank, v, set->count - set->u_count))
        return STATUS_TRUNCATED;
    return finish_stream(dec);
}

enum status factors_read(struct reader *rd, unsigned rank, uint64_t rows,
                         uint32_t columns, int16_t *u, int16_t *v)
{
    if (!factors_shape_ok(rank, rows, columns))
        return STATUS_LIMIT;
    struct decoder *dec = malloc(sizeof(*dec));
    if (!dec)
        return STATUS_NO_MEMORY;
    set_init(&dec->set, rank, rows, columns);
    dec->raw_pos = dec->raw_bits = 0;
    dec->raw_in_tail = false;
    enum status status = decode(dec, rd, u, v);
    free(dec);
    return status;
}
