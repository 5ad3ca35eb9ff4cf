/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_KEPT_H
#define CRN_ENGINE_KEPT_H

#include "manifest/manifest.h"

/*
 * Files that were downloaded and verified, kept in a directory beside those of the restore until
 * that is through: a restore that is cut short and begun again takes them in place of downloading.
 * A kept file is another name (hard link) of the restored one, so it takes no space of its own.
 */

/* A name is the content's sum, as the manifest has it, its size, and a hash of the object and the
 * place in it: the same bytes of another object do not stand for it, which would keep damage of
 * that one from being seen. false: an inlined file, which is not kept. */
#define CRN_KEPT_NAME_MAX 80
bool crn_kept_name(const struct crn_file *file, char ret[CRN_KEPT_NAME_MAX]);
/* Its path, with the suffix; *ret_path stays NULL if the file is not kept, or directory is NULL. */
#define CRN_KEPT_PARTIAL ".part" /* still on its way: fetch_ranges.c */
int crn_kept_path(const char *directory, const struct crn_file *file, const char *suffix,
                  char **ret_path, cairn_error **reterr);
/* Keep what is at `path`, as well as can be: it is only good for the next start. */
void crn_kept_add(const char *directory, const struct crn_file *file, const char *path);
/* Removes what is of no use for this record; NULL: everything. */
int crn_kept_prune(const char *directory, const struct crn_record *record, cairn_error **reterr);

#endif
