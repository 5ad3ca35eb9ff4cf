/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CONTROL_VIEW_H
#define CRN_ENGINE_CONTROL_VIEW_H

#include "engine/control/json_out.h"
#include "engine/status/status.h"

/* What the endpoint shows, as docs/rest.md and docs/openapi.yaml have it: from a picture of the job
 * to JSON. Pure. */
void crn_view_job(const struct crn_job_status *status, struct crn_json_out *out);
void crn_view_tasks(const struct crn_job_status *status, struct crn_json_out *out);
void crn_view_workers(const struct crn_job_status *status, struct crn_json_out *out);
void crn_view_config(const struct crn_job_status *status, struct crn_json_out *out);
/* before 0: from the newest on. */
void crn_view_checkpoints(const struct crn_job_status *status, uint64_t limit, uint64_t before,
                          struct crn_json_out *out);
/* False: there is none of this id. */
bool crn_view_checkpoint(const struct crn_job_status *status, uint64_t id,
                         struct crn_json_out *out);
void crn_view_counts(const struct crn_job_status *status, struct crn_json_out *out);
/* {"code": ..., "message": ..., "object": ...} */
void crn_view_error(struct crn_json_out *out, const char *key, int code, const cairn_error *error);
/* null if it is not known. */
void crn_view_u64_if(struct crn_json_out *out, const char *key, bool is_known, uint64_t value);
const char *crn_view_format(cairn_savepoint_format format);

/* view_operators.c: the registered states come from the tasks. 0 or CAIRN_ECLOSED. */
int crn_view_operators(struct cairn_job *job, struct crn_json_out *out, cairn_error **reterr);

#endif
