/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A snapshot's entries as lines of text, through the public calls only.
 */

#include "tests/support/entries.h"
#include "base/buffer.h"
#include "engine/types.h"
#include "tests/support/tap.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static size_t print_bytes(char *out, size_t size, const void *data, size_t n)
{
    const uint8_t *bytes = data;
    bool is_text = true;
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        is_text &= isprint(bytes[i]) != 0;
    for (size_t i = 0; i < n && used + 3 < size; i++)
        used += (size_t)snprintf(out + used, size - used, is_text ? "%c" : "%02x", bytes[i]);
    out[used] = '\0';
    return used;
}

void crn_test_entry_line(char *out, size_t size, const char *uid, const cairn_state_info *state,
                         const cairn_entry *entry, uint64_t element, int64_t written_ms,
                         const char *schema)
{
    char key[512], ns[512], map_key[512], value[1024];
    (void)print_bytes(key, sizeof key, entry->key, entry->key_size);
    (void)print_bytes(ns, sizeof ns, entry->ns, entry->ns_size);
    (void)print_bytes(map_key, sizeof map_key, entry->map_key, entry->map_key_size);
    (void)print_bytes(value, sizeof value, entry->value, entry->value_size);
    (void)snprintf(out, size, "%s/%s %s %s|%s|%s [%" PRIu64 "] = %s @%" PRId64 " (%s)\n", uid,
                   state->name, crn_kind_name(state->kind), key, ns, map_key, element, value,
                   written_ms, schema);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void crn_test_sort_lines(char *text)
{
    size_t count = 0, size = strlen(text);
    CRN_AUTO_FREE char *copy = strdup(text);
    char **lines = calloc(size + 1, sizeof *lines);
    ck_assert(copy != NULL && lines != NULL);
    char *rest = copy;
    for (char *line = strtok_r(copy, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        lines[count++] = line;
    qsort(lines, count, sizeof *lines, compare_lines);
    for (size_t i = 0; i < count; i++)
        text += sprintf(text, "%s\n", lines[i]);
    free(lines);
}

char *crn_test_entries(cairn_snapshot *snapshot, const cairn_cat_options *options)
{
    struct cairn_buffer text = {0};
    cairn_cat *cat;
    cairn_cat_entry entry;
    int r;
    CRN_TEST_OK(cairn_cat_open(snapshot, options, &cat, reterr));
    ck_assert_int_eq(crn_buf_append(&text, "", 0), 0);
    for (;;) {
        char line[4096];
        cairn_error *error = NULL;
        r = cairn_cat_next(cat, &entry, &error);
        ck_assert_msg(r >= 0, "%s", cairn_error_message(error));
        if (r == 0)
            break;
        crn_test_entry_line(line, sizeof line, cairn_snapshot_operator(snapshot, entry.op)->uid,
                            cairn_snapshot_state(snapshot, entry.op, entry.state), &entry.entry,
                            entry.element, entry.written_ms,
                            entry.schema != NULL ? entry.schema->name : "");
        ck_assert_int_eq(crn_buf_append(&text, line, strlen(line)), 0);
    }
    cairn_cat_close(cat);
    if (text.data == NULL)
        return strdup("");
    char *taken = crn_buf_take_text(&text);
    ck_assert_ptr_nonnull(taken);
    crn_test_sort_lines(taken);
    return taken;
}

char *crn_test_stored_entries(cairn_store *store, const char *name)
{
    cairn_snapshot *snapshot;
    CRN_TEST_OK(cairn_snapshot_open(store, name, 0, &snapshot, reterr));
    char *text = crn_test_entries(snapshot, NULL);
    cairn_snapshot_close(snapshot);
    return text;
}
