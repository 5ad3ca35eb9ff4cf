/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Keyed state of one subtask, for reading: its files are linked or fetched into a scratch directory
 * and verified, the database is opened read-only over them, and its states are iterated in the
 * manifest's order. Links go to the store's own files, which is why the database may only read.
 * Memory is what the database needs for reading, whatever the state's size.
 *
 * The bytes in a database passed their checksums but were written by another program run, perhaps
 * by another release: a key or a list that cannot be taken apart is CAIRN_ECORRUPT (P11).
 */

#include "backends/state/values.h"
#include "base/file.h"
#include "base/thread.h"
#include "engine/inspect/cat.h"
#include "engine/transfer/fetch.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static void end_iterator(struct crn_cat_keyed *keyed)
{
    if (keyed->iterator != NULL)
        keyed->db->ops->end(keyed->iterator);
    keyed->iterator = NULL;
    keyed->list = (struct crn_reader){0};
}

void crn_cat_keyed_close(struct crn_cat_keyed *keyed)
{
    end_iterator(keyed);
    if (keyed->db != NULL)
        keyed->db->ops->close(keyed->db);
    if (keyed->directory != NULL)
        (void)crn_file_remove_tree(keyed->directory, NULL); /* cairn_cat_close() tries once more */
    free(keyed->directory);
    free(keyed->states);
    crn_buf_done(&keyed->prefix);
    *keyed = (struct crn_cat_keyed){0};
}

static bool wants_any(const struct crn_cat_keyed *keyed)
{
    for (size_t i = 0; i < keyed->op->state_count; i++) {
        const cairn_state_info *state = &keyed->op->states[i];
        if (crn_cat_is_keyed(state) && crn_cat_wants(keyed->filter, state))
            return true;
    }
    return false;
}

/* false: the wanted key lives in another subtask. */
static int make_prefix(struct crn_cat_keyed *keyed, const struct crn_subtask *subtask,
                       bool *ret_is_here, cairn_error **reterr)
{
    const struct crn_cat_filter *filter = keyed->filter;
    uint32_t max_parallelism = keyed->op->info.max_parallelism;
    *ret_is_here = true;
    if (!filter->has_key)
        return 0;
    uint32_t group = crn_key_group_of(filter->key, filter->key_size, max_parallelism);
    *ret_is_here = group >= subtask->info.key_group_first && group <= subtask->info.key_group_last;
    if (*ret_is_here &&
        crn_key_start(&keyed->prefix, group, max_parallelism, filter->key, filter->key_size) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

static int fetch_database(struct crn_cat_keyed *keyed, const struct crn_subtask *subtask,
                          size_t *ret_count, cairn_error **reterr)
{
    const cairn_snapshot *snapshot = keyed->filter->snapshot;
    CRN_AUTO_FREE const struct crn_file **files = calloc(subtask->file_count + 1, sizeof(*files));
    size_t count = 0;
    if (files == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < subtask->file_count; i++) {
        if (subtask->files[i].info.role != CAIRN_FILE_OPERATOR_STATE)
            files[count++] = &subtask->files[i];
    }
    *ret_count = count;
    struct crn_fetch_request request = {.store = snapshot->store,
                                        .job = snapshot->job,
                                        .files = files,
                                        .count = count,
                                        .directory = keyed->directory,
                                        .link = true};
    return count > 0 ? crn_fetch(&request, NULL, reterr) : 0;
}

static int64_t wall_clock(void *context)
{
    (void)context;
    return crn_wall_ms();
}

static int open_database(struct crn_cat_keyed *keyed, const struct crn_subtask *subtask,
                         cairn_error **reterr)
{
    const struct crn_operator *op = keyed->op;
    if (strcmp(subtask->info.backend, "rocksdb") != 0)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, op->info.uid,
                            "operator '%s' was stored by the state backend '%s', which this "
                            "library does not have",
                            op->info.uid, subtask->info.backend);
    keyed->states = calloc(op->state_count + 1, sizeof *keyed->states);
    if (keyed->states == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < op->state_count; i++) {
        if (crn_cat_is_keyed(&op->states[i]))
            keyed->states[keyed->state_count++] = op->states[i];
    }
    struct crn_state_config config = {.directory = keyed->directory,
                                      .restored = true,
                                      .read_only = true,
                                      .now_ms = wall_clock,
                                      .states = keyed->states,
                                      .state_count = keyed->state_count};
    return crn_rocksdb_open(&config, &keyed->db, reterr);
}

int crn_cat_keyed_open(struct crn_cat_keyed *keyed, const struct crn_cat_filter *filter,
                       const struct crn_operator *op, const struct crn_subtask *subtask,
                       const char *directory, cairn_error **reterr)
{
    bool is_here = false;
    size_t file_count = 0;
    *keyed = (struct crn_cat_keyed){.filter = filter, .op = op};
    if (!wants_any(keyed))
        return 0;
    CRN_TRY(make_prefix(keyed, subtask, &is_here, reterr));
    if (!is_here)
        return 0;
    if (mkdir(directory, 0700) < 0)
        return crn_err_os(reterr, errno, directory, "create directory '%s'", directory);
    keyed->directory = strdup(directory);
    if (keyed->directory == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(fetch_database(keyed, subtask, &file_count, reterr));
    return file_count > 0 ? open_database(keyed, subtask, reterr) : 0;
}

/* 1: an iterator over the next wanted state; 0: that was the last one. */
static int next_state(struct crn_cat_keyed *keyed, cairn_error **reterr)
{
    end_iterator(keyed);
    while (keyed->next_state < keyed->op->state_count) {
        const cairn_state_info *info = &keyed->op->states[keyed->next_state];
        struct crn_state *state;
        keyed->state = keyed->next_state++;
        if (!crn_cat_is_keyed(info) || !crn_cat_wants(keyed->filter, info))
            continue;
        CRN_TRY(keyed->db->ops->open_state(keyed->db, info, &state, reterr));
        CRN_TRY(keyed->db->ops->iterate(keyed->db, state, keyed->prefix.data, keyed->prefix.size,
                                        &keyed->iterator, reterr));
        return 1;
    }
    return 0;
}

static int fail_entry(const struct crn_cat_keyed *keyed, const char *what, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_ECORRUPT, keyed->op->info.uid,
                        "state '%s' of operator '%s' has %s that cannot be decoded",
                        keyed->op->states[keyed->state].name, keyed->op->info.uid, what);
}

static void fill_key(const struct crn_cat_keyed *keyed, cairn_cat_entry *ret)
{
    const struct crn_key_parts *parts = &keyed->parts;
    *ret = (cairn_cat_entry){.state = keyed->state, .key_group = parts->key_group};
    ret->entry.key = parts->key;
    ret->entry.key_size = parts->key_size;
    ret->entry.ns = parts->ns;
    ret->entry.ns_size = parts->ns_size;
    if (keyed->op->states[keyed->state].kind == CAIRN_KIND_MAP) {
        ret->entry.map_key = parts->map_key;
        ret->entry.map_key_size = parts->map_key_size;
    }
}

/* The next element of the list that the iterator stands on: 1, or 0 if it has no more. */
static int next_element(struct crn_cat_keyed *keyed, cairn_cat_entry *ret, cairn_error **reterr)
{
    struct crn_list_element element;
    bool has_ttl = keyed->op->states[keyed->state].ttl_ms != 0;
    int r = crn_list_next_element(&keyed->list, has_ttl, &element);
    if (r < 0)
        return fail_entry(keyed, "a list", reterr);
    if (r == 0)
        return 0;
    fill_key(keyed, ret);
    ret->element = keyed->element++;
    ret->written_ms = element.written_ms;
    ret->entry.value = element.data;
    ret->entry.value_size = element.size;
    return 1;
}

/* The iterator's next entry: 1 and *ret is filled; 1 and keyed->list is, if it is a list; 0: the
 * state's end. */
static int next_entry(struct crn_cat_keyed *keyed, cairn_cat_entry *ret, cairn_error **reterr)
{
    const cairn_state_info *info = &keyed->op->states[keyed->state];
    const uint8_t *key, *value, *data;
    size_t key_size, value_size, size;

    int r = keyed->db->ops->next(keyed->iterator, &key, &key_size, &value, &value_size, reterr);
    if (r <= 0)
        return r;
    if (!crn_key_split(key, key_size, keyed->op->info.max_parallelism, &keyed->parts) ||
        (info->kind != CAIRN_KIND_MAP && keyed->parts.map_key_size > 0))
        return fail_entry(keyed, "a key", reterr);
    if (info->kind == CAIRN_KIND_LIST) {
        keyed->list = (struct crn_reader){.data = value, .size = value_size};
        keyed->element = 0;
        return 1;
    }
    fill_key(keyed, ret);
    if (!crn_value_split(value, value_size, info->ttl_ms != 0, &ret->written_ms, &data, &size))
        return fail_entry(keyed, "a value", reterr);
    ret->entry.value = data;
    ret->entry.value_size = size;
    return 1;
}

int crn_cat_keyed_next(struct crn_cat_keyed *keyed, cairn_cat_entry *ret, cairn_error **reterr)
{
    if (keyed->db == NULL)
        return 0;
    for (;;) {
        int r = keyed->iterator == NULL ? next_state(keyed, reterr) : 1;
        if (r <= 0)
            return r;
        bool is_list = keyed->op->states[keyed->state].kind == CAIRN_KIND_LIST;
        if (is_list && crn_reader_left(&keyed->list) > 0)
            return next_element(keyed, ret, reterr);
        r = next_entry(keyed, ret, reterr);
        if (r < 0 || (r == 1 && !is_list))
            return r;
        if (r == 0)
            end_iterator(keyed);
    }
}
