/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_STATE_ANY_H
#define CRN_TESTS_STATE_ANY_H

/* What the tests of state backends share, whichever it is: a place on disk, and small assertions.
 * RocksDB starts threads, so everything here runs inside a test (Check's forked child), never
 * before. */

#include "backends/state/state.h"
#include "base/file.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <string.h>

struct place {
    char root[256];
    char db[300];      /* exists, empty */
    char capture[300]; /* does not exist */
};

/* 0 or a positive outcome; an error fails the test with its text. */
#define ck_ok(call)                                                                                \
    __extension__({                                                                                \
        cairn_error *ck_error_ = NULL;                                                             \
        cairn_error **const reterr = &ck_error_;                                                   \
        int ck_r_ = (call);                                                                        \
        if (ck_r_ < 0)                                                                             \
            ck_abort_msg("%s: %s: %s", #call, cairn_error_name(ck_r_),                             \
                         cairn_error_message(ck_error_));                                          \
        ck_r_;                                                                                     \
    })

/* The call fails with this code, and its text has this part. */
#define ck_fails(call, code, part)                                                                 \
    do {                                                                                           \
        cairn_error *ck_error_ = NULL;                                                             \
        cairn_error **const reterr = &ck_error_;                                                   \
        int ck_r_ = (call);                                                                        \
        if (ck_r_ != (code) || !strstr(cairn_error_message(ck_error_), part))                      \
            ck_abort_msg("%s: %s: '%s', not %s: '%s'", #call, cairn_error_name(ck_r_),             \
                         cairn_error_message(ck_error_), cairn_error_name(code), part);            \
        cairn_error_free(ck_error_);                                                               \
    } while (0)

static inline struct place place_new(void)
{
    struct place place;
    const char *base = getenv("TMPDIR");
    snprintf(place.root, sizeof(place.root), "%s/cairn-state-XXXXXX", base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(place.root));
    snprintf(place.db, sizeof(place.db), "%s/db", place.root);
    snprintf(place.capture, sizeof(place.capture), "%s/capture", place.root);
    ck_ok(crn_file_make_dirs(place.db, reterr));
    return place;
}

static inline void place_remove(const struct place *place)
{
    ck_ok(crn_file_remove_tree(place->root, reterr));
}

static inline struct crn_state *open_state(struct crn_state_db *db, const cairn_state_info *info)
{
    struct crn_state *state = NULL;
    ck_ok(db->ops->open_state(db, info, &state, reterr));
    return state;
}

static inline void put(struct crn_state_db *db, struct crn_state *state, const char *key,
                       const char *value)
{
    ck_ok(db->ops->put(db, state, key, strlen(key), value, strlen(value), reterr));
}

static inline void remove_key(struct crn_state_db *db, struct crn_state *state, const char *key)
{
    ck_ok(db->ops->remove(db, state, key, strlen(key), reterr));
}

/* expected NULL: absent. */
static inline void assert_value(struct crn_state_db *db, struct crn_state *state, const char *key,
                                const char *expected)
{
    struct crn_pin pin = {0};
    int found = ck_ok(db->ops->get(db, state, key, strlen(key), &pin, reterr));
    ck_assert_msg(found == (expected != NULL), "key '%s': found %d", key, found);
    if (expected && (pin.size != strlen(expected) || memcmp(pin.data, expected, pin.size) != 0))
        ck_abort_msg("key '%s' has '%.*s', not '%s'", key, (int)pin.size, (const char *)pin.data,
                     expected);
    db->ops->unpin(&pin);
}

static inline size_t count_entries(struct crn_state_db *db, struct crn_state *state,
                                   const char *prefix)
{
    struct crn_state_iterator *iterator = NULL;
    const uint8_t *key, *value;
    size_t key_size, value_size, count = 0;
    ck_ok(db->ops->iterate(db, state, prefix, strlen(prefix), &iterator, reterr));
    while (ck_ok(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) > 0)
        count++;
    db->ops->end(iterator);
    return count;
}

#endif
