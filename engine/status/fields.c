/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields of log lines are put together here, one enum for all names, so that the list in the
 * operator's handbook can be checked against the program. Nothing is allocated: a log line must not
 * need memory to tell that there is none.
 */
#include "engine/status/fields.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static_assert(CRN_FIELD_COUNT <= CRN_LOG_FIELDS_MAX, "a line can have every field");

const char *crn_field_name(enum crn_field field)
{
    static const char *const names[] = {
#define CRN_X(NAME, name) name,
        CRN_FIELD_MAP(CRN_X)
#undef CRN_X
    };
    return names[field];
}

const char *crn_told_word(enum crn_told told)
{
    static const char *const words[] = {
#define CRN_X(NAME, name) name,
        CRN_TOLD_MAP(CRN_X)
#undef CRN_X
    };
    return words[told];
}

void crn_fields_text(struct crn_fields *fields, enum crn_field field, const char *value)
{
    assert(fields->count < CRN_FIELD_COUNT);
    fields->items[fields->count++] = (cairn_log_field){crn_field_name(field), value, 0};
}

void crn_fields_number(struct crn_fields *fields, enum crn_field field, uint64_t value)
{
    assert(fields->count < CRN_FIELD_COUNT);
    char *text = fields->numbers[fields->count];
    (void)snprintf(text, sizeof fields->numbers[0], "%" PRIu64, value);
    fields->items[fields->count++] = (cairn_log_field){crn_field_name(field), text, 1};
}

void crn_fields_of(const struct crn_facts *facts, struct crn_fields *ret)
{
    const char *reason = facts->error != NULL ? cairn_error_message(facts->error) : facts->reason;
    ret->count = 0;
    crn_fields_text(ret, CRN_FIELD_EVENT, crn_told_word(facts->told));
    if (facts->kind != NULL)
        crn_fields_text(ret, CRN_FIELD_KIND, facts->kind);
    if (facts->checkpoint_id != 0)
        crn_fields_number(ret, CRN_FIELD_CHECKPOINT_ID, facts->checkpoint_id);
    if (facts->epoch != 0)
        crn_fields_number(ret, CRN_FIELD_EPOCH, facts->epoch);
    if (facts->restored_id != 0)
        crn_fields_number(ret, CRN_FIELD_RESTORED_ID, facts->restored_id);
    if (facts->location != NULL)
        crn_fields_text(ret, CRN_FIELD_LOCATION, facts->location);
    if (reason != NULL)
        crn_fields_text(ret, CRN_FIELD_REASON, reason);
    if (facts->error != NULL)
        crn_fields_text(ret, CRN_FIELD_CODE, cairn_error_name(cairn_error_code(facts->error)));
}
