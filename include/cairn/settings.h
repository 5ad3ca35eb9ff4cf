/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_SETTINGS_H
#define CAIRN_SETTINGS_H

/*
 * Settings: a job's options from a file and from the environment, so that a person can change them without
 * compiling. cairn.h includes this; what it says of errors, NULL and options structs holds here.
 *
 * A setting has a name such as checkpoint.interval, and a text as its value. docs/operations.md lists all of
 * them, as does `cairn help settings`.
 *   file         YAML: "checkpoint.interval: 10s", or nested ("checkpoint:" and "interval: 10s" below it). An
 *                unknown name, a name that comes twice and a value that does not fit are errors with the line.
 *                One document of at most 64 KiB; no lists, aliases, anchors or tags.
 *   environment  CAIRN_ and the name in capitals, with '_' for '.' and '-': CAIRN_CHECKPOINT_INTERVAL=10s. A
 *                variable that begins with CAIRN_ and is none of these is left alone; an empty one counts as
 *                none. A program with more rights than its caller (setuid) sees none at all.
 * Later calls override earlier ones: load the file first, then the environment, as cairn_settings_load() does.
 *
 * VALUES. Durations: a number with ms, s, min or h ("500ms"; 0 needs none). Sizes: a number of bytes, or with KiB,
 * MiB, GiB. Truth: true or false. Choices: the words that the list gives. 0 means none, not the default: where
 * there must be some it is refused.
 *
 * control.token-file is read when it is set. Its mode may let nobody else than owner and group read it, and the
 * group not write (0600 and 0640 are fine, 0644 is CAIRN_EACCES); a line's end after the token is not part of it.
 * Setting it unsets control.token, and the other way round.
 *
 * A settings object is used by one thread at a time.
 */

#include "cairn/cairn.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Settings of a file (NULL: $CAIRN_SETTINGS if that is set, else none), overridden by the environment.
 * @return 0, CAIRN_ENOTFOUND, CAIRN_EACCES or CAIRN_EIO (the file), CAIRN_EINVAL: the message names file and
 *         line, or the variable, and says what would be right. */
CAIRN_API CAIRN_MUST_CHECK int cairn_settings_load(const char *path, cairn_settings **ret_settings,
                                                   cairn_error **reterr);
/** No settings. */
CAIRN_API CAIRN_MUST_CHECK int cairn_settings_new(cairn_settings **ret_settings, cairn_error **reterr);
/** @return as cairn_settings_load(). After a failure nothing of the file, or of the environment, is set. */
CAIRN_API CAIRN_MUST_CHECK int cairn_settings_read_file(cairn_settings *settings, const char *path,
                                                        cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_settings_read_environment(cairn_settings *settings,
                                                               cairn_error **reterr);
/** Set one. value NULL: unset it. @return 0, CAIRN_EINVAL (no such name, or no such value); of
 * control.token-file also CAIRN_ENOTFOUND, CAIRN_EACCES, CAIRN_EIO. */
CAIRN_API CAIRN_MUST_CHECK int cairn_settings_set(cairn_settings *settings, const char *name,
                                                  const char *value, cairn_error **reterr);
/** The value of one, as it was given; NULL: it is not set. Valid until it is set again. */
CAIRN_API const char *cairn_settings_get(const cairn_settings *settings, const char *name);
/** Put what is set into options; the rest of them stays. Strings stay the settings': release those after
 * cairn_job_open(). Whether the options fit together is for cairn_job_open() to say.
 * @return 0 or CAIRN_EINVAL (options is NULL, or of a version without one that is set). */
CAIRN_API CAIRN_MUST_CHECK int cairn_settings_apply(const cairn_settings *settings,
                                                    cairn_job_options *options, cairn_error **reterr);
CAIRN_API void cairn_settings_free(cairn_settings *settings);

/** What settings there are. */
typedef struct cairn_setting_info {
    const char *name;        /* "checkpoint.interval" */
    const char *variable;    /* "CAIRN_CHECKPOINT_INTERVAL" */
    const char *form;        /* "duration", "size", "number", "true or false", "text", or the words */
    const char *default_text;
    const char *summary;     /* one sentence */
} cairn_setting_info;
/** Setting i in the order of the list; NULL: there is none. Static. */
CAIRN_API const cairn_setting_info *cairn_setting_at(size_t i);

#ifdef __cplusplus
}
#endif
#endif
