/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_TOOLS_CLI_SERVICE_H
#define CAIRN_TOOLS_CLI_SERVICE_H

#include "tools/cli/cli.h"

/* Running jobs and their control endpoints: what the verbs for them share. */

struct cli_service {
    char *address;             /* "unix:/path" or "http://host:port" */
    char *job;                 /* NULL: not asked */
    struct json_object *about; /* what /v1/job answered; NULL: not asked */
    bool is_probe;             /* is not waited for as long: it may be nobody's */
};
struct cli_services {
    struct cli_service *items;
    size_t count, capacity;
    size_t dead; /* sockets that nobody listens on */
};

/* The job that --job or `word` (which may be NULL) names, by name or address; else the only one. */
int cli_service_find(const struct cli_args *args, const char *word, struct cli_service *ret,
                     cairn_error **reterr);
/* unix:/path or http://host:port, and no name. */
bool cli_service_is_address(const char *word);
void cli_service_done(struct cli_service *service);
#define CLI_AUTO_SERVICE CLI_CLEANUP(cli_service_done)
/* All that answer in the run directory, by name. */
int cli_services_list(const struct cli_args *args, struct cli_services *ret, cairn_error **reterr);
void cli_services_done(struct cli_services *services);
char *cli_run_directory(const struct cli_args *args); /* malloc'ed */

/* One request; an answer that is an error becomes ours. body may be NULL. *ret_answer is to be
 * released with json_object_put(). */
int cli_request(const struct cli_args *args, const struct cli_service *service, const char *method,
                const char *path, struct json_object *body, struct json_object **ret_answer,
                cairn_error **reterr);
static inline void cli_cleanup_json(struct json_object **object)
{
    json_object_put(*object);
}
#define CLI_AUTO_JSON CLI_CLEANUP(cli_cleanup_json)

/* Fields of an answer; 0, "" or NULL if they are absent or of another type. */
uint64_t cli_answer_u64(struct json_object *object, const char *name);
bool cli_answer_bool(struct json_object *object, const char *name);
const char *cli_answer_text(struct json_object *object, const char *name);
struct json_object *cli_answer_member(struct json_object *object, const char *name);
size_t cli_answer_length(struct json_object *object, const char *name);
struct json_object *cli_answer_item(struct json_object *object, const char *name, size_t i);

/* The oldest snapshot in flight of a /v1/checkpoints answer, task by task; *ret is NULL if there is
 * none, or it is over meanwhile. */
int cli_request_oldest(const struct cli_args *args, const struct cli_service *service,
                       struct json_object *checkpoints, struct json_object **ret,
                       cairn_error **reterr);
/* Entry of the same task in another answer's `tasks`, which is likely to be its i-th; NULL: none.
 */
struct json_object *cli_answer_task(struct json_object *other, struct json_object *task, size_t i);
/* Which part of that snapshot task i of /v1/tasks is at, as a word; "" when it has done its own. */
const char *cli_task_phase(struct json_object *oldest, struct json_object *task, size_t i);
/* "1 waiting, 3 acked" or "committing": how far a snapshot in flight is; malloc'ed. */
char *cli_phase_text(struct json_object *in_flight);
/* What a process is in a job of several: "coordinator of 2 of 2 workers"; "": it is alone;
 * malloc'ed. */
char *cli_role_text(struct json_object *job);
/* A cell with a number of an answer, as `show` has it (NULL: as it is); "-": it is not known. */
void cli_answer_cell(struct cli_table *table, struct json_object *object, const char *name,
                     struct cli_short (*show)(uint64_t value));
/* A duration of an ended snapshot: "-" where an earlier run of the job did not leave one. */
struct cli_short cli_ended_duration(struct json_object *ended, const char *name);

/* The library's number for "CAIRN_EBUSY"; CAIRN_EINTERNAL for what it does not know. */
int cli_error_code(const char *name);
/* How the word for a job's state is shown. */
enum cli_style cli_job_state_style(const char *state);

#endif
