/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_MANIFEST_INTERNAL_H
#define CRN_MANIFEST_INTERNAL_H

#include "manifest/manifest.h"

/* What the files of this folder share. Tests look inside too; nobody else does. */

/* frame.c: the envelope of every manifest object; docs/format.md has its table. */
#define CRN_FRAME_VERSION 1u
#define CRN_FRAME_HEADER_SIZE 40u
#define CRN_FRAME_CHECKSUM_SIZE 8u
#define CRN_FRAME_LZ4 1u    /* incompatible feature bit 0 */
#define CRN_FRAME_SLICES 4u /* bit 2: files that share objects; bit 1 is never used */

struct crn_frame {
    uint32_t version;
    uint32_t compatible;
    uint32_t incompatible;
    const uint8_t *payload; /* raw; in the object's bytes, or in `owned` */
    size_t payload_size;
    uint8_t *owned; /* NULL when the payload was stored as it is */
};
void crn_frame_done(struct crn_frame *frame);
#define CRN_AUTO_FRAME CRN_CLEANUP(crn_frame_done)

/* Appends a whole frame with these incompatible bits, and CRN_FRAME_LZ4 if that saves something.
 * CAIRN_EINVAL: payload too large; CAIRN_ENOMEM. */
int crn_frame_write(const void *payload, size_t size, uint32_t incompatible,
                    struct cairn_buffer *out, cairn_error **reterr);
/* CAIRN_ECORRUPT, CAIRN_EVERSION, CAIRN_ENOMEM; *ret is only filled on success. */
int crn_frame_read(const char *object, const void *data, size_t size, struct crn_frame *ret,
                   cairn_error **reterr);

/* validate.c, rules.c, rules_file.c: where in a record the check stands; what is NULL lies below.
 */
struct crn_rule_scope {
    const struct crn_record *record;
    const struct crn_operator *op;
    const struct crn_subtask *subtask;
    const struct crn_file *file;
    bool is_part; /* crn_record_validate_part() */
    cairn_error **reterr;
};
typedef int (*crn_rule_fn)(const struct crn_rule_scope *scope);
/* CAIRN_ECORRUPT with "record <id>: operator '<uid>': ...: <what> (rule <rule>)". */
int crn_rule_broken(const struct crn_rule_scope *scope, const char *rule, const char *format, ...)
    CRN_PRINTF(3, 4);
int crn_rules_run(const crn_rule_fn *rules, size_t count, const struct crn_rule_scope *scope);
/* One operator and everything below it; one file. */
int crn_rules_operator(const struct crn_rule_scope *scope);
int crn_rules_file(const struct crn_rule_scope *scope);
/* slices.c: the files of a record that share objects, all together. */
bool crn_record_has_slices(const struct crn_record *record);
int crn_rules_slices(const struct crn_record *record, cairn_error **reterr);
bool crn_state_kind_is_keyed(cairn_state_kind kind);
bool crn_type_is_plain(cairn_type type); /* of keys, namespaces and values without a schema */

/* budget.c: the memory that parsing an object may take. Both functions are for a ProtobufCAllocator. */
struct crn_budget {
    size_t left;
    bool is_out_of_memory; /* the system's, not the budget's */
};
struct crn_budget crn_budget_of(size_t payload_size, size_t object_size);
void *crn_budget_alloc(void *budget, size_t size);
void crn_budget_free(void *budget, void *memory);

/* What a record of this kind is called in a listing when only history knows it. */
cairn_record_state crn_history_state_of(cairn_record_kind kind);

/* finish.c: makes a free text fit, in place: see crn_record_finish(). */
void crn_record_make_clean(const char *text, size_t max_size);

/* Longest free texts, in bytes. */
#define CRN_REASON_MAX 1024u
#define CRN_HOST_MAX 255u
#define CRN_LIBRARY_VERSION_MAX 64u
#define CRN_LOCATION_MAX 4096u

#endif
