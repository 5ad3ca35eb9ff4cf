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

void crn_fields_error(struct crn_fields *fields, const cairn_error *error)
{
    crn_fields_text(fields, CRN_FIELD_REASON, cairn_error_message(error));
    crn_fields_text(fields, CRN_FIELD_CODE, cairn_error_name(cairn_error_code(error)));
}
