/* Aligned columns of text for people, and the small words that go in them.
 * Whatever came from outside is printed with control characters replaced, so
 * that no peer writes to the operator's terminal. */
#ifndef DAEMON_TABLE_H
#define DAEMON_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct table;

/* headings: column titles separated by '|'; one that begins with '>' is
 * aligned to the right. NULL when memory is short. */
struct table *table_new(const char *headings);
void table_free(struct table *table);

/* Adds one row: as many texts as there are columns, copied. */
void table_row(struct table *table, ...);

/* Prints headings and rows; nothing at all when there is no row. */
void table_print(const struct table *table, FILE *out);

size_t table_rows(const struct table *table);

/* "1.7 MB" (powers of ten), into out of TABLE_WORD bytes; returns out. */
#define TABLE_WORD 32
const char *table_bytes(uint64_t bytes, char *out);

/* "3 s", "12 min", "5 h", "9 d". Negative: "-". */
const char *table_age(double seconds, char *out);

/* The first 8 digits of a hash in hex; "-" for an empty one. */
const char *table_id(const char *hex, char *out);

/* Prints text with control characters as '?'. UTF-8 passes. */
void table_put_text(const char *text, FILE *out);

#endif
