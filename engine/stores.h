/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_STORES_H
#define CRN_ENGINE_STORES_H

#include "base/error.h"
#include "cairn/store.h"

/* CAIRN_EINVAL if the store is in truth a job's or a savepoint's directory in one, since it holds
 * manifests or a mark: whoever writes there would make a store within it, where nobody looks. One
 * listing of the store's own level. */
int crn_store_check_is_root(cairn_store *store, cairn_error **reterr);

/* What tells the place of a store from others, for people, too: a path, or a bucket's URI. NULL: it
 * has none that can be told. */
const char *crn_store_root(const cairn_store *store);

/* Open the store that a place is in (a directory of it, named by a path or URI), whether there is
 * anything at the place or not. *ret_name is the place's name there, to be released with free().
 * CAIRN_ENOTFOUND: there is no such store; CAIRN_EINVAL: nothing of a store can have that name. */
int crn_store_open_parent(const char *uri, cairn_store **ret_store, char **ret_name,
                          cairn_error **reterr);
/* The URI without what follows the name of a snapshot's directory in its path: '/' and a manifest's
 * name. *ret is to be released with free(). */
int crn_store_strip_uri(const char *uri, char **ret, cairn_error **reterr);
/* The URI of a path: the path itself, unless something in it would be taken for a query or is no text.
 * *ret of both is to be released with free(). */
int crn_store_path_uri(const char *path, char **ret, cairn_error **reterr);
/* The URI of the place `name` in the store whose path or URI is `root`. */
int crn_store_join_uri(const char *root, const char *name, char **ret, cairn_error **reterr);

#endif
