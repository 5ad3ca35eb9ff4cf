/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_SETTINGS_SETTINGS_H
#define CRN_ENGINE_SETTINGS_SETTINGS_H

#include "base/error.h"
#include <stdbool.h>

/* --- table.c: what settings there are --- */

enum crn_setting_kind {
    CRN_SETTING_TEXT,       /* the field is a const char * */
    CRN_SETTING_TEXT_WORD,  /* the same, and one of the words */
    CRN_SETTING_TOKEN,      /* the same, fit for a request's header */
    CRN_SETTING_TOKEN_FILE, /* the same: what the file holds is the field's value */
    CRN_SETTING_WORD,       /* the field is an enum */
    CRN_SETTING_TRUTH,
    CRN_SETTING_NUMBER, /* the words may stand in place of one */
    CRN_SETTING_DURATION,
    CRN_SETTING_SIZE
};

struct crn_setting_word {
    const char *word; /* NULL ends the list */
    uint64_t number;
};

struct crn_setting {
    cairn_setting_info info;
    enum crn_setting_kind kind;
    size_t offset, width; /* of the field in cairn_job_options. Two settings may share one */
    uint64_t min, max;    /* of numbers, durations (ms) and sizes (bytes) */
    uint64_t zero;        /* what the field gets for 0: in options, 0 means the default */
    const struct crn_setting_word *words;
};

extern const struct crn_setting crn_settings_table[];
extern const size_t crn_settings_count;

/* Its place in the table, or CAIRN_EINVAL with what may have been meant. */
int crn_settings_find(const char *name, size_t *ret_i, cairn_error **reterr);
/* Some setting's name begins with these n bytes and a dot. */
bool crn_settings_is_group(const char *name, size_t n);

/* --- values.c: texts --- */

/* What a text means as this setting's value: of all kinds but texts the number that the field gets.
 * CAIRN_EINVAL says what would be right. */
int crn_setting_parse(const struct crn_setting *setting, const char *text, uint64_t *ret_number,
                      cairn_error **reterr);
/* What the file of a CRN_SETTING_TOKEN_FILE holds. */
int crn_setting_read_token(const struct crn_setting *setting, const char *path, char **ret_token,
                           cairn_error **reterr);

/* --- settings.c --- */

/* Take what is set in `from`, which is empty then. */
void crn_settings_merge(cairn_settings *settings, cairn_settings *from);

static inline void crn_cleanup_settings(cairn_settings **settings)
{
    cairn_settings_free(*settings);
}
#define CRN_AUTO_SETTINGS CRN_CLEANUP(crn_cleanup_settings)

/* --- file.c --- */

#define CRN_SETTINGS_MAX_FILE_BYTES 65536

/* A file's text; `path` is for messages. */
int crn_settings_read_text(cairn_settings *settings, const char *path, const void *data,
                           size_t size, cairn_error **reterr);

#endif
