/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_LIFE_ORACLE_H
#define CRN_TESTS_LIFE_ORACLE_H

#include "cairn/cairn.h"
#include <stdbool.h>

/* What the state of life.h must be, in plain arrays. Nothing here knows tasks or databases. */

#define LIFE_OPS 2u
#define LIFE_TASKS_MAX 4u
#define LIFE_MAX_PARALLELISM 128u
#define LIFE_KEYS 40u
#define LIFE_LIST_MAX 6u
#define LIFE_MAP_KEYS 5u
#define LIFE_ROWS_MAX 3u
#define LIFE_SPLIT_USUAL 3u /* elements of a subtask before it clears the list */
#define LIFE_SPLIT_MAX (LIFE_SPLIT_USUAL * LIFE_TASKS_MAX) /* all of them may come to one */
#define LIFE_RULES 4u
#define LIFE_BLOB_MAX 1500u
#define LIFE_TTL_MS 1000

/* Schemas of the struct: fields are added, removed, reordered, and change their defaults. */
#define LIFE_VERSIONS 4u
enum life_field { LIFE_A, LIFE_B, LIFE_C, LIFE_FIELDS };
struct life_schema {
    unsigned count;
    enum life_field fields[LIFE_FIELDS]; /* in the schema's order */
    int64_t defaults[LIFE_FIELDS];       /* by field */
};
extern const struct life_schema life_schemas[LIFE_VERSIONS];
extern const char *const life_field_names[LIFE_FIELDS];
bool life_schema_has(unsigned version, enum life_field field);

struct life_record {
    uint8_t version;             /* under which it was written */
    int64_t values[LIFE_FIELDS]; /* of the fields that this version has */
};
/* As it is read under another version. */
int64_t life_record_get(const struct life_record *record, unsigned version, enum life_field field);

struct life_slot {
    bool has_blob, has_sum, has_record, has_aging;
    uint64_t blob; /* its bytes follow from it */
    int64_t sum, aging, aging_ms;
    struct life_record record;
    uint32_t list_count, row_count, aged_count;
    int64_t list[LIFE_LIST_MAX];
    struct life_record rows[LIFE_ROWS_MAX];
    int64_t aged[LIFE_LIST_MAX], aged_ms[LIFE_LIST_MAX];
    bool has_map[LIFE_MAP_KEYS];
    int64_t map[LIFE_MAP_KEYS];
};

enum life_skip { LIFE_SKIP_STRUCTS = 1, LIFE_SKIP_EXPIRY = 2 };
struct life_oracle_op {
    uint32_t parallelism; /* 0: it never was open */
    uint8_t version;
    bool expires;
    uint8_t skips; /* in this incarnation */
    struct life_slot slots[LIFE_KEYS];
    uint32_t split_count[LIFE_TASKS_MAX];
    int64_t split[LIFE_TASKS_MAX][LIFE_SPLIT_MAX];
    uint64_t barrier_id; /* of the snapshot: in the union list with each subtask's number */
    bool has_rule[LIFE_RULES];
    int64_t rule[LIFE_RULES];
};

struct life_oracle {
    int64_t now_ms; /* the clock, which never goes back */
    struct life_oracle_op ops[LIFE_OPS];
};

uint64_t life_random(uint64_t x); /* a well-mixed function of x */
unsigned life_owner(unsigned key, uint32_t parallelism);
size_t life_blob(uint64_t random, uint8_t out[LIFE_BLOB_MAX]);

/* What a step is; both halves (state and oracle) take it apart in the same way. */
enum life_change {
    LIFE_BLOB_PUT,
    LIFE_BLOB_CLEAR,
    LIFE_LIST_ADD, /* a full one is cleared in place of it; so with all lists */
    LIFE_MAP_PUT,
    LIFE_MAP_REMOVE,
    LIFE_MAP_CLEAR,
    LIFE_SUM_ADD,
    LIFE_SUM_CLEAR,
    LIFE_RECORD_PUT,
    LIFE_ROW_ADD,
    LIFE_AGING_PUT,
    LIFE_AGED_ADD,
    LIFE_SPLIT_ADD,
    LIFE_RULE_PUT,
    LIFE_RULE_REMOVE,
    LIFE_CHANGES
};
struct life_step {
    enum life_change what;
    unsigned op, key, entry;
    int64_t number;
    uint64_t random;
};
struct life_step life_step_of(uint64_t random, bool with_rules);
void life_oracle_apply(struct life_oracle *oracle, const struct life_step *step);
struct life_record life_record_of(const struct life_step *step, unsigned version);

bool life_is_live(const struct life_oracle *oracle, const struct life_oracle_op *op,
                  int64_t written_ms);
/* Expired elements are forgotten; how many are left. */
uint32_t life_drop_aged(const struct life_oracle *oracle, const struct life_oracle_op *op,
                        struct life_slot *slot);
/* An operator is opened with another version or expiry than it had; what it does not register stays
 * as it was stored. */
void life_oracle_reopen(struct life_oracle *oracle, unsigned op, unsigned version, bool expires,
                        unsigned skips);
void life_oracle_migrate(struct life_oracle *oracle, unsigned op, unsigned subtask, bool records,
                         bool rows);
/* The part of one subtask at its barrier of snapshot `id`. */
void life_oracle_note(struct life_oracle *to, const struct life_oracle *from, unsigned op,
                      unsigned subtask, uint64_t id);

#endif
