/* Columns as wide as their widest cell. */
#include "daemon/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_COLUMNS_MAX 16

struct table {
    size_t columns, rows, cap;
    bool right[TABLE_COLUMNS_MAX];
    size_t width[TABLE_COLUMNS_MAX];
    char **cells; /* headings, then rows */
    bool failed;
};

/* Code points, close enough to columns for names and numbers. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

static void table_put_row(struct table *table, const char *const *texts)
{
    size_t first = table->rows * table->columns;
    while (!table->failed && first + table->columns > table->cap) {
        size_t cap = table->cap ? table->cap * 2 : 64;
        char **cells = realloc(table->cells, cap * sizeof(*cells));
        table->failed = !cells;
        if (cells) {
            table->cells = cells;
            table->cap = cap;
        }
    }
    if (table->failed)
        return;
    for (size_t i = 0; i < table->columns; i++) {
        table->cells[first + i] = strdup(texts[i] ? texts[i] : "");
        size_t width = text_width(texts[i] ? texts[i] : "");
        if (width > table->width[i])
            table->width[i] = width;
    }
    table->rows++;
}

struct table *table_new(const char *headings)
{
    struct table *table = calloc(1, sizeof(*table));
    char *copy = strdup(headings);
    const char *texts[TABLE_COLUMNS_MAX];
    if (!table || !copy) {
        free(table);
        free(copy);
        return NULL;
    }
    char *rest = copy;
    for (char *word;
         (word = strsep(&rest, "|")) && table->columns < TABLE_COLUMNS_MAX;) {
        table->right[table->columns] = *word == '>';
        texts[table->columns++] = *word == '>' ? word + 1 : word;
    }
    table_put_row(table, texts);
    free(copy);
    return table;
}

void table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->rows * table->columns; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

void table_row(struct table *table, ...)
{
    if (!table)
        return;
    const char *texts[TABLE_COLUMNS_MAX];
    va_list args;
    va_start(args, table);
    for (size_t i = 0; i < table->columns; i++)
        texts[i] = va_arg(args, const char *);
    va_end(args);
    table_put_row(table, texts);
}

size_t table_rows(const struct table *table)
{
    return table && table->rows ? table->rows - 1 : 0;
}

static void put_spaces(size_t count, FILE *out)
{
    while (count--)
        putc(' ', out);
}

static void table_put_line(const struct table *table, size_t row, FILE *out)
{
    for (size_t i = 0; i < table->columns; i++) {
        const char *text = table->cells[row * table->columns + i];
        size_t pad = text ? table->width[i] - text_width(text) : 0;
        if (i)
            put_spaces(2, out);
        if (table->right[i])
            put_spaces(pad, out);
        table_put_text(text ? text : "", out);
        if (!table->right[i] && i + 1 < table->columns)
            put_spaces(pad, out);
    }
    putc('\n', out);
}

void table_print(const struct table *table, FILE *out)
{
    if (!table_rows(table))
        return;
    for (size_t row = 0; row < table->rows; row++)
        table_put_line(table, row, out);
}

const char *table_bytes(uint64_t bytes, char *out)
{
    static const char units[] = "kMGTPE";
    if (bytes < 1000) {
        snprintf(out, TABLE_WORD, "%u B", (unsigned)bytes);
        return out;
    }
    double value = (double)bytes / 1000;
    size_t unit = 0;
    for (; value >= 999.95 && unit < sizeof(units) - 2; unit++)
        value /= 1000;
    snprintf(out, TABLE_WORD, value < 9.95 ? "%.2f %cB" : "%.1f %cB", value,
             units[unit]);
    return out;
}

const char *table_age(double seconds, char *out)
{
    if (seconds < 0)
        snprintf(out, TABLE_WORD, "-");
    else if (seconds < 120)
        snprintf(out, TABLE_WORD, "%.0f s", seconds);
    else if (seconds < 7200)
        snprintf(out, TABLE_WORD, "%.0f min", seconds / 60);
    else if (seconds < 48 * 3600)
        snprintf(out, TABLE_WORD, "%.0f h", seconds / 3600);
    else
        snprintf(out, TABLE_WORD, "%.0f d", seconds / 86400);
    return out;
}

const char *table_id(const char *hex, char *out)
{
    snprintf(out, TABLE_WORD, "%.8s", hex && *hex ? hex : "-");
    return out;
}

void table_put_text(const char *text, FILE *out)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;
        putc(*p < 0x20 || *p == 0x7f || c1 ? '?' : *p, out);
        p += c1;
    }
}
